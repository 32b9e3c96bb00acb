"""Does one training step of ours do what one of the authors' does? Compares ours with figures taken from theirs.

    python benchmarks/step_parity.py stmn ../shared/golden_step/stmn 0
    python benchmarks/step_parity.py all ../shared/golden_step 0     # writes benchmarks/results/step_parity.md

GOLDEN_DIR holds `meta.json` (names and shapes of the authors' state dict, rate and decay of each parameter) and
`seed0.npz`: losses, and for each parameter norm, sum and the eight largest entries of its gradient, the same entries of
its update, and the running statistics after the step. Both sides fill every entry by the rule of `golden.py`, and
compute in float64 on the CPU: made-up networks magnify float32's rounding to several hundredths of a gradient. There is
neither dropout nor augmentation, and the rate is the full one, as after the warm-up.

Printed: the largest relative difference of each kind; exit status 1 when one is above the bound, when a parameter has
another rate or decay, or when one trains on one side alone. A gradient that is nothing but rounding (less than 1e-9 of
the largest) is only asked to be so on both sides.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from golden import WITH, fill, float64  # these two are beside this file
from machine import describe
from torch import Tensor, nn

from reidkit.baselines.prompts import PromptedClip, encode_prompts
from reidkit.training import zoo
from reidkit.training.losses import combine
from reidkit.training.optimiser import make_optimiser, set_rate
from reidkit.training.recipe import Recipe, override

BOUND = 1e-6
ROUNDING = 1e-9  # of the largest gradient
TABLE = Path(__file__).parent / "results" / "step_parity.md"
# of entries whose names end so, as in the golden files of the whole models
SCALES = {
    "psta": {"TRAG.gg_temporal.0.weight": 0.0625, "SRAG.gg_spatial.0.weight": 0.0625},
    "vslaclip": {"dat.up.weight": 0.25, "dat_cross.up.weight": 0.25},
}
OVERRIDES = {"tfclip": ("ssp_dropout=0",), **WITH}
KINDS = ("loss", "gradient", "update", "running statistic")


def made_up_clips(size: tuple[int, int], seed: int) -> Tensor:
    """float64 [B, T, 3, 256, 128]: noise, a coarse pattern of the clip, and half as much of one of the frame."""
    rng = np.random.Generator(np.random.PCG64(3000 + seed))
    batch, frames = size
    noise, of_clip, of_frame = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((batch, frames, 3, 256, 128), (batch, 1, 3, 8, 4), (batch, frames, 3, 8, 4))
    )
    coarse = (of_clip + np.float32(0.5) * of_frame).repeat(32, axis=3).repeat(32, axis=4)
    return torch.from_numpy(np.float32(0.5) * noise + coarse).double()


@dataclass
class Step:
    """The figures of one model under one seed."""

    name: str
    folder: Path
    seed: int

    def __post_init__(self) -> None:
        self.meta = json.loads((self.folder / "meta.json").read_text())
        with np.load(self.folder / f"seed{self.seed}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.shapes = {name: tuple(shape) for name, shape, *_ in self.meta["state_dict"]}
        self.convert = zoo.module(self.name).convert

    def fill(self, name: str) -> Tensor:
        """One entry by the authors' name."""
        factor = next((f for ending, f in SCALES.get(self.name, {}).items() if name.endswith(ending)), 1.0)
        return torch.from_numpy(fill(name, self.shapes[name], self.seed)).double() * factor

    def ours(self, name: str) -> tuple[str, Tensor]:
        """Our name of an entry of theirs, and where each of its values stands in theirs: int64, flat."""
        places = torch.arange(int(np.prod(self.shapes[name])), dtype=torch.float64).reshape(self.shapes[name])
        ((own, places),) = self.convert({name: places}).items()
        return own, places.flatten().long()

    def recipe(self) -> Recipe:
        frames = self.meta["frames"]
        lengths = () if self.name in ("ap3d", "vslaclip") else (f"frames={frames}", f"test_frames={frames}")
        return override(zoo.recipe(self.name), ["pretrained=", *lengths, *OVERRIDES.get(self.name, ())])

    def model(self, recipe: Recipe) -> nn.Module:
        """Ours at full size in training mode, filled like theirs."""
        model = zoo.module(self.name).build(recipe, self.meta["classes"], self.meta["cameras"])
        self.filled = self.convert({name: self.fill(name) for name in self.shapes})
        model.load_state_dict(self.filled, strict=False)
        model.double()
        if isinstance(model, PromptedClip):
            model.text_features.copy_(encode_prompts(model.prompts, model.text))
        elif "memory" in dict(model.named_buffers()):
            model.memory.copy_(torch.from_numpy(fill("clip_memory", tuple(model.memory.shape), self.seed)))
        return model.train()


@dataclass
class Compared:
    """Relative differences of one step, by kind and name; `faults` are what is no matter of size."""

    step: Step
    differences: dict[str, dict[str, float]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    faults: list[str] = field(default_factory=list)

    def largest(self, kind: str) -> tuple[float, str]:
        """The largest difference of a kind, and whose it is."""
        return max(((value, name) for name, value in self.differences[kind].items()), default=(0.0, "none"))

    @property
    def equal(self) -> bool:
        """All differences within the bound, and no fault."""
        return not self.faults and all(self.largest(kind)[0] <= BOUND for kind in KINDS)


def relative(ours: Tensor, theirs: np.ndarray) -> float:
    """The largest difference over the largest of theirs."""
    return float(np.abs(ours.numpy() - theirs).max() / max(np.abs(theirs).max(), 1e-300))


def compare(step: Step) -> Compared:
    """Takes the step on our side and compares everything that the authors' figures hold."""
    with float64():
        recipe, compared = step.recipe(), Compared(step)
        model = step.model(recipe)
        optimiser = make_optimiser(model, recipe)
        set_rate(optimiser, 1.0, recipe.lr)
        labels, cameras = torch.tensor(step.meta["labels"]), torch.tensor(step.meta["cam"])
        clips = made_up_clips((len(labels), step.meta["frames"]), step.seed)
        total, parts = combine(model(clips, cameras, labels), labels, recipe)
        total.backward()
        parameters = {name: p for name, p in model.named_parameters() if p.grad is not None}
        before = {name: p.detach().clone() for name, p in parameters.items()}
        optimiser.step()
    compare_losses(compared, parts | {"total": total.detach()})
    compare_parameters(compared, parameters, before)
    compare_groups(compared, optimiser, dict(model.named_parameters()))
    compare_statistics(compared, dict(model.named_buffers()))
    return compared


def compare_losses(compared: Compared, ours: dict[str, Tensor]) -> None:
    """Every term of the total by its name."""
    arrays = compared.step.arrays
    theirs = {key.removeprefix("loss/"): a for key, a in arrays.items() if key == "total" or key.startswith("loss/")}
    compared.faults += [f"the loss {name} is on one side alone" for name in sorted(theirs.keys() ^ ours.keys())]
    for name in theirs.keys() & ours.keys():
        compared.differences["loss"][name] = relative(ours[name], theirs[name])


def compare_parameters(compared: Compared, parameters: dict[str, nn.Parameter], before: dict[str, Tensor]) -> None:
    """Gradients and updates, where theirs is more than rounding; and that rounding of theirs is none of ours."""
    step = compared.step
    gradients, updates, places = step.arrays["grad"], step.arrays["update"], step.arrays["where"]
    rounding = ROUNDING * gradients[:, 0].max()
    met = set()
    for row, theirs in enumerate(step.meta["params"]):
        name, flat = step.ours(theirs)
        met.add(name)
        ours = parameters[name].grad.flatten() if name in parameters else None
        loud = gradients[row, 0] > rounding
        if ours is None or float(ours.norm()) <= rounding:
            if loud:
                compared.faults.append(f"{theirs} has a gradient in theirs alone")
            continue
        if not loud:
            compared.faults.append(f"{theirs} has a gradient in ours alone")
            continue
        place = torch.empty_like(flat)
        place[flat] = torch.arange(len(flat))
        at = place[torch.from_numpy(places[row][places[row] >= 0]).long()]
        whole = torch.stack([ours.norm(), ours.sum()])
        moved = (parameters[name].detach() - before[name]).flatten()
        scale = np.abs(gradients[row, 0]) / np.sqrt(len(flat))  # a sum may vanish where entries do not
        compared.differences["gradient"][theirs] = max(
            relative(ours[at], gradients[row, 2 : 2 + len(at)]),
            relative(whole[:1], gradients[row, :1]),
            float(abs(whole[1] - gradients[row, 1]) / max(abs(gradients[row, 1]), scale)),
        )
        compared.differences["update"][theirs] = max(
            relative(moved[at], updates[row, 2 : 2 + len(at)]), relative(moved.norm()[None], updates[row, :1])
        )
    compared.faults += [f"{name} has a gradient in ours alone" for name in sorted(parameters.keys() - met)]


def compare_groups(compared: Compared, optimiser: torch.optim.Optimizer, own: dict[str, nn.Parameter]) -> None:
    """Rate and weight decay of every parameter that trains on our side."""
    groups = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    for theirs, (rate, decay) in compared.step.meta["groups"].items():
        name, _ = compared.step.ours(theirs)
        if name in own and id(own[name]) in groups:
            ours = groups[id(own[name])]
            if not np.allclose(ours, (rate, decay), rtol=1e-12, atol=0):
                compared.faults.append(f"{theirs} has rate {rate:g} and decay {decay:g}, ours {ours[0]:g}, {ours[1]:g}")


def compare_statistics(compared: Compared, buffers: dict[str, Tensor]) -> None:
    """Running means and variances; where `convert` folds a bias into a mean, theirs is moved by as much."""
    step = compared.step
    for row, theirs in enumerate(step.meta["buffers"]):
        name, _ = step.ours(theirs)
        shift = step.filled[name] - step.fill(theirs)
        ours = torch.cat([buffers[name].mean()[None], buffers[name].flatten()[:4]])
        expected = step.arrays["buffer"][row][: len(ours)] + torch.cat([shift.mean()[None], shift[:4]]).numpy()
        compared.differences["running statistic"][theirs] = relative(ours, expected)


def report(compared: Compared) -> None:
    """Prints the largest difference of each kind, and every fault."""
    for kind in KINDS:
        value, name = compared.largest(kind)
        mark = "" if value <= BOUND else "  above the bound"
        print(f"{kind:18} {len(compared.differences[kind]):4} compared, largest {value:.1e} ({name}){mark}")
    for fault in compared.faults[:20]:
        print(fault)
    if len(compared.faults) > 20:
        print(f"and {len(compared.faults) - 20} more")
    print("equal" if compared.equal else "DIFFERS", flush=True)


def table(models: list[Compared], seed: int) -> Iterator[str]:
    """The lines of the page."""
    yield "# One training step beside the authors' released code"
    yield ""
    yield "Largest relative differences in float64 of one step with made-up weights on a made-up batch: every loss"
    yield "term, the stored entries of every gradient and update, and the running statistics after it. Where a row says"
    yield "equal, so are rate and decay of every parameter, and the same ones train. What no loss can see is not"
    yield "compared (`hold_bias` in `baselines/necks.py`)."
    yield ""
    yield "| model | losses | gradients | updates | running statistics | |"
    yield "|---|---|---|---|---|---|"
    for compared in models:
        cells = [f"{compared.largest(kind)[0]:.0e} ({len(compared.differences[kind])})" for kind in KINDS]
        yield f"| {compared.step.name} | {' | '.join(cells)} | {'equal' if compared.equal else 'differs'} |"
    yield ""
    yield f"Made by `python benchmarks/step_parity.py all GOLDEN_DIR {seed}` on {describe()}. In brackets: how many."


def main() -> int:
    """0 where every model's step is the authors', otherwise 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="name in `reidkit models`, or all")
    parser.add_argument("golden_dir", type=Path)
    parser.add_argument("seed", type=int)
    options = parser.parse_args()
    folders = {options.model: options.golden_dir}
    if options.model == "all":
        folders = {name: options.golden_dir / name for name in zoo.MODULES if (options.golden_dir / name).is_dir()}
    if not folders:
        parser.error(f"'{options.golden_dir}' holds no folder with the name of a model")
    for folder in folders.values():
        for file in ("meta.json", f"seed{options.seed}.npz"):
            if not (folder / file).is_file():
                parser.error(f"there is no {file} in '{folder}'")
    models = []
    for name, folder in folders.items():
        print(f"{name}:", flush=True)
        models.append(compare(Step(name, folder, options.seed)))
        report(models[-1])
    if options.model == "all":
        TABLE.write_text("\n".join(table(models, options.seed)) + "\n")
        print(TABLE)
    return int(not all(compared.equal for compared in models))


if __name__ == "__main__":
    sys.exit(main())
