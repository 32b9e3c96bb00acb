"""The golden files: figures of the authors' released models, and ours filled like theirs.

    golden = Golden("tfclip", Path("tests/golden/tfclip"), seed=0)
    differences = golden.compare({"feature": golden.model().embed(golden.clips(8), golden.cameras)})

A folder holds `meta.json` (names and shapes of the authors' state dict, number of classes and cameras) and
`seed0.npz` (what their code gave). No weights are needed: both sides fill every entry by a rule from its name, its
shape and the seed, here before the names go through the model's `convert`.
"""

import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reidkit.training import zoo
from reidkit.training.recipe import override

# what the figures were made with, where it is no default
WITH = {"clipreid": ("camera_weight=1",)}


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


@contextmanager
def float64() -> Iterator[None]:
    """While it runs, models are made and compute in float64, also where they cast to float32 under autocast."""
    before, cast = torch.get_default_dtype(), torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.Tensor.float = cast


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

    def ending(self, frames: int) -> str:
        """What names of features end in: nothing for the first clip length of `meta.json`, `_T4` and so on else."""
        return "" if frames == self.first else f"_T{frames}"

    def clips(self, frames: int) -> Tensor:
        """[2, T, 3, 256, 128], as it goes into the model: no mean or deviation is applied."""
        rng = np.random.Generator(np.random.PCG64(1000 + self.seed))
        drawn = rng.standard_normal((2, frames, 3, 256, 128)).astype(np.float32)
        return torch.from_numpy(drawn).to(torch.get_default_dtype())

    def fill(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """One entry by the authors' name, with the factor that `scale_changes` gives it."""
        scales = self.meta.get("scale_changes", {})
        scales = {k: v for k, v in scales.items() if isinstance(v, int | float)} if isinstance(scales, dict) else {}
        factor = next((v for ending, v in scales.items() if name.endswith(ending)), 1.0)
        return torch.from_numpy(fill(name, tuple(shape), self.seed)) * factor

    def model(self, *overrides: str, extra: list | None = None) -> nn.Module:
        """Ours at full size in eval mode; `extra` are further entries of the state dict [name, shape, type]."""
        source = zoo.module(self.name)
        recipe = override(zoo.recipe(self.name, "full"), ["pretrained=", *WITH.get(self.name, ()), *overrides])
        ours = source.build(recipe, self.meta["num_classes"], self.meta.get("camera_num", 1))
        entries = [*self.meta["state_dict"], *(extra or [])]
        weights = source.convert({name: self.fill(name, shape) for name, shape, *_ in entries})
        report = ours.load_state_dict(weights, strict=False)
        self.missing, self.unexpected = list(report.missing_keys), list(report.unexpected_keys)
        return ours.eval()

    def model_for(self, frames: int) -> nn.Module:
        """As `model`, of a kind whose layers are made for clips of one length."""
        others = [] if frames == self.first else self.meta[f"state_dict_T{frames}_differences"]
        return self.model(f"frames={frames}", f"test_frames={frames}", extra=others)

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
