"""Does our model compute what the authors' code computes? Compares ours with figures taken from theirs.

    python benchmarks/parity.py tfclip tests/golden/tfclip 0
    python benchmarks/parity.py ap3d ../shared/golden/ap3d 0 --bound 1e-4
    python benchmarks/parity.py all tests/golden 0      # GOLDEN_DIR/<model> each; writes benchmarks/results/parity.md

GOLDEN_DIR holds `meta.json` (names and shapes of the authors' state dict, number of classes and cameras) and
`seed0.npz` (what their code gave). No weights are needed: both sides fill every entry by a rule from its name, its
shape and the seed, here before the names go through the model's `convert`. Printed: the largest absolute difference of
each array; exit status 1 when one is above the bound, or when an entry that they use has no place in our model.

A model needs nothing but `build` and `convert` for its feature to be compared: `feature` with the first clip length of
`meta.json`, `feature_T4` and so on with the others. For more, its module offers

    def golden_arrays(golden: Golden) -> dict[str, Tensor]

which returns any of the arrays by name; `X` is compared with the array `X`, or with `X/stat`: mean, standard deviation
and the first eight values, which are the same in whatever order the leading axes come.
"""

import argparse
import json
import math
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reidkit.datasets import ReidkitError
from reidkit.training import zoo
from reidkit.training.recipe import override

BOUNDS = {"ap3d_nl": 1e-3}  # its unscaled softmax magnifies rounding
BOUND = 1e-4
TABLE = Path(__file__).parent / "results" / "parity.md"


def fill(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The float32 values of one entry: normal numbers from a PCG64 seeded by the name's crc32 plus `seed`.

    Scaled by what the entry is: matrices and kernels by 1/sqrt(fan-in), gains and running variances about 1, the
    rest 0.1; the count of batches is 0.
    """
    draw = np.asarray(np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + seed)).standard_normal(shape))
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        values = 0 * draw
    elif leaf == "running_var":
        values = 1 + 0.1 * np.abs(draw)
    elif leaf == "running_mean":
        values = 0.1 * draw
    elif draw.ndim > 1:
        values = draw / math.sqrt(math.prod(shape[1:]))
    elif draw.ndim == 1 and leaf == "weight":
        values = 1 + 0.1 * draw
    else:
        values = 0.1 * draw
    return np.asarray(values, dtype=np.float32).reshape(shape)


@dataclass
class Golden:
    """One model's golden folder under one seed, and our model filled like theirs."""

    name: str
    folder: Path
    seed: int
    lengths: tuple[int, ...] = ()  # clip lengths to compute; empty: all of meta.json
    variants: bool = True  # also what needs a model built with other options
    missing: list[str] = field(default_factory=list)  # names of ours that theirs did not fill
    unexpected: list[str] = field(default_factory=list)  # names of theirs that have no place in ours

    def __post_init__(self) -> None:
        self.meta = json.loads((self.folder / "meta.json").read_text())
        with np.load(self.folder / f"seed{self.seed}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        known = self.meta["T"] if isinstance(self.meta["T"], list) else [self.meta["T"]]
        self.first = known[0]
        self.lengths = self.lengths or tuple(known)

    @property
    def cameras(self) -> Tensor:
        """int64 [2]."""
        return torch.tensor(self.meta.get("cam_label", [0, 0]))

    def clips(self, frames: int) -> Tensor:
        """[2, T, 3, 256, 128], as it goes into the model: no mean or deviation is applied."""
        rng = np.random.Generator(np.random.PCG64(1000 + self.seed))
        return torch.from_numpy(rng.standard_normal((2, frames, 3, 256, 128)).astype(np.float32))

    def fill(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """One entry by the authors' name, with the factor that `scale_changes` gives it."""
        scales = self.meta.get("scale_changes", {})
        scales = {k: v for k, v in scales.items() if isinstance(v, int | float)} if isinstance(scales, dict) else {}
        factor = next((v for ending, v in scales.items() if name.endswith(ending)), 1.0)
        return torch.from_numpy(fill(name, tuple(shape), self.seed)) * factor

    def model(self, *overrides: str, extra: list | None = None) -> nn.Module:
        """Ours at full size in eval mode; `extra` are further entries of the state dict [name, shape, type]."""
        source = zoo.module(self.name)
        recipe = override(zoo.recipe(self.name, "full"), ["pretrained=", *overrides])
        ours = source.build(recipe, self.meta["num_classes"], self.meta.get("camera_num", 1))
        entries = [*self.meta["state_dict"], *(extra or [])]
        weights = source.convert({name: self.fill(name, shape) for name, shape, *_ in entries})
        report = ours.load_state_dict(weights, strict=False)
        self.missing, self.unexpected = list(report.missing_keys), list(report.unexpected_keys)
        return ours.eval()

    @contextmanager
    def record(self, model: nn.Module, places: dict[str, str]) -> Iterator[dict[str, Tensor]]:
        """Yields a dict that holds what submodules gave last.

        Args:
            places: array name -> dotted path of a submodule, with `:input` behind it where its first input is meant.
        """
        outputs: dict[str, Tensor] = {}
        modules = dict(model.named_modules())

        def keep(array: str, entering: bool):
            return lambda module, inputs, output: outputs.__setitem__(array, inputs[0] if entering else output)

        hooks = [
            modules[path.removesuffix(":input")].register_forward_hook(keep(array, path.endswith(":input")))
            for array, path in places.items()
        ]
        try:
            yield outputs
        finally:
            for hook in hooks:
                hook.remove()

    def compute(self) -> dict[str, Tensor]:
        """Every array that our side can give."""
        source = zoo.module(self.name)
        with torch.inference_mode():
            if hasattr(source, "golden_arrays"):
                return source.golden_arrays(self)
            model = self.model()
            names = {frames: "feature" if frames == self.first else f"feature_T{frames}" for frames in self.lengths}
            return {name: model.embed(self.clips(frames), self.cameras) for frames, name in names.items()}

    def compare(self, ours: dict[str, Tensor]) -> dict[str, float | None]:
        """Array name of theirs -> largest absolute difference; None where our side doesn't give it."""
        differences: dict[str, float | None] = {}
        for name, theirs in self.arrays.items():
            own = ours.get(name.removesuffix("/stat"))
            if own is None:
                differences[name] = None
                continue
            values = own.detach().double().numpy()
            if name.endswith("/stat"):
                values = np.array([values.mean(), values.std(), *values.ravel()[:8]])
            elif values.shape != theirs.shape:
                raise ValueError(f"{name} has shape {values.shape}, theirs {theirs.shape}")
            differences[name] = float(np.abs(values - theirs).max())
        return differences


@dataclass
class Checked:
    """One model against its figures; `failed` says why it is not at parity, "" where it is."""

    golden: Golden
    bound: float
    differences: dict[str, float | None]

    @property
    def given(self) -> dict[str, float]:
        return {name: d for name, d in self.differences.items() if d is not None}

    @property
    def failed(self) -> str:
        golden = self.golden
        # the first list is the sharper one, but only some folders have it
        lists = ("entries_never_used_even_in_training", "entries_not_used_for_feature")
        unused = next((golden.meta[key] for key in lists if key in golden.meta), [])
        if any(not difference <= self.bound for difference in self.given.values()):
            return "above the bound"
        if self.differences.get("feature") is None:
            return "no feature"
        if any(name not in unused for name in golden.unexpected):
            return "entries without a place"
        return ""


def check(name: str, folder: Path, seed: int, bound: float | None) -> Checked:
    golden = Golden(name, folder, seed)
    return Checked(golden, bound or BOUNDS.get(name, BOUND), golden.compare(golden.compute()))


def report(checked: Checked) -> None:
    golden, bound = checked.golden, checked.bound
    for name, difference in checked.differences.items():
        mark = "" if difference is None or difference <= bound else "  above the bound"
        print(f"{name:42} {'not given' if difference is None else f'{difference:.2e}'}{mark}")
    for word, names in (("not in our model", golden.unexpected), ("not in theirs", golden.missing)):
        for name in names:
            print(f"{word}: {name}")
    given, largest = checked.given, max(checked.given.values(), default=math.nan)
    print(f"{len(given)} of {len(checked.differences)} arrays compared, largest {largest:.2e}, bound {bound:g}")


def write_table(models: list[Checked], seed: int, path: Path) -> None:
    from machine import describe  # beside this file: importable where it runs as a script

    lines = [
        "# Agreement with the authors' released code",
        "",
        "Largest absolute differences in float32 between our models and the authors' own, both filled with made-up",
        "weights by the rule in `benchmarks/parity.py`, on the same random clips. The feature is what is ranked;",
        "arrays are all that were compared: features at every clip length, intermediates, scores and losses.",
        "",
        "| model | arrays | feature | largest of all | where | bound | |",
        "|---|---|---|---|---|---|---|",
    ]
    for checked in models:
        given = checked.given
        where = max(given, key=given.__getitem__)
        cells = [checked.golden.name, f"{len(given)} of {len(checked.differences)}"]
        cells += [f"{given.get('feature', math.nan):.1e}", f"{given[where]:.1e}", f"`{where}`", f"{checked.bound:g}"]
        lines.append(f"| {' | '.join(cells)} | {checked.failed or 'holds'} |")
    lines += ["", f"Made by `python benchmarks/parity.py all tests/golden {seed}` on {describe()}.", ""]
    for checked in models:
        for word, names in (("not in ours", checked.golden.unexpected), ("not in theirs", checked.golden.missing)):
            if names:
                listed = ", ".join(f"`{name}`" for name in names)
                lines.append(f"- {checked.golden.name}, entries of the state dict {word}: {listed}")
    lines += [
        "",
        "What is not in ours the authors' code never uses for what was compared; loading such a file lists it. What is",
        "not in theirs we compute before training and keep as a buffer.",
    ]
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="name in `reidkit models`, or all")
    parser.add_argument("golden_dir", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--bound", type=float, help="default 1e-4; 1e-3 for ap3d_nl")
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
        if options.model == "all":
            print(f"{name}:", flush=True)
        try:
            models.append(check(name, folder, options.seed, options.bound))
        except ReidkitError as error:
            parser.error(str(error))
        report(models[-1])
    if options.model == "all":
        write_table(models, options.seed, TABLE)
        print(TABLE)
    return int(any(checked.failed for checked in models))


if __name__ == "__main__":
    sys.exit(main())
