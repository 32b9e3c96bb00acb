"""Everything that decides a run, in one frozen dataclass.

    recipe = override(resnet50.RECIPES["tiny"], ["epochs=3", "lr=1e-3"])

A model's file holds its recipes by size. A model with options of its own subclasses `Recipe` and adds fields
(`cgclip.CgclipRecipe.tokens`), so that `--set tokens=4` works and a misspelt key is an error.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ..datasets import UsageError
from ..datasets.errors import choices

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Lengths are in frames, sizes in pixels, rates per step of the optimiser, epochs in passes over the identities."""

    # clip
    frames: int = 8  # T in training
    train_stride: int = 0  # frames from one to the next; 0: one from each of T equal chunks of the tracklet
    height: int = 256
    width: int = 128
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    # batch: P identities x K tracklets
    identities: int = 8
    tracklets: int = 4
    # augmentation
    flip: float = 0.5  # probability, per clip
    pad: int = 10  # pixels of padding before a random crop of the same size
    erase: float = 0.5  # probability, per frame
    # optimiser
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = 3.5e-4
    bias_lr_factor: float = 1.0
    weight_decay: float = 5e-4
    # schedule
    epochs: int = 120
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (40, 70)
    gamma: float = 0.1
    warmup_epochs: int = 0
    warmup_factor: float = 0.1  # of lr, at the first step
    min_lr: float = 0.0  # where a cosine ends
    # losses
    id_weight: float = 1.0
    label_smoothing: float = 0.1
    triplet_weight: float = 1.0
    triplet_margin: float | None = 0.3  # None: soft margin
    triplet_distance: Literal["euclidean", "cosine"] = "euclidean"
    # test
    test_sampling: Literal["dense", "spread", "strided"] = "dense"
    test_frames: int = 8  # T of a test clip
    test_flip: bool = False  # average with the flipped clip
    metric: Literal["cosine", "euclidean"] = "cosine"
    # machine
    precision: Literal["bf16", "fp32"] = "bf16"
    compile: bool = False
    seed: int = 0
    pretrained: str = ""  # name or path of the backbone's weights; "" trains from scratch


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """`recipe` with each `key=value` applied, the value read by the field's type.

    Raises:
        UsageError: no `=`, a key the recipe doesn't have (the keys are listed), or a value of another type.
    """
    hints = typing.get_type_hints(type(recipe))
    changes = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"'{assignment}' is no override. Write it as key=value, for example --set epochs=5.")
        if key not in hints:
            raise UsageError(choices(key, hints, "recipe key"))
        changes[key] = _parse(key, text, hints[key])
    return dataclasses.replace(recipe, **changes)


def to_dict(recipe: Recipe) -> dict[str, object]:
    """The recipe as JSON knows it: tuples are lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(recipe).items()}


def from_dict(base: Recipe, values: Mapping[str, object]) -> Recipe:
    """A recipe of `base`'s class with the values that `to_dict` gave; keys absent from them keep `base`'s value.

    Raises:
        UsageError: a key that the class doesn't have.
    """
    known = {f.name for f in dataclasses.fields(base)}
    for key in values:
        if key not in known:
            raise UsageError(choices(key, known, "recipe key") + " The run was made by another version of reidkit.")
    return dataclasses.replace(base, **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _parse(key: str, text: str, kind: object) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    try:
        if origin is Literal:
            if text not in arguments:
                raise UsageError(choices(text, arguments, f"value of {key}"))
            return text
        if origin is types.UnionType:
            return None if text.lower() == "none" else _parse(key, text, arguments[0])
        if origin is tuple:
            return tuple(_parse(key, part, arguments[0]) for part in text.strip("()").split(",") if part.strip())
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        wanted = getattr(kind, "__name__", str(kind))
        raise UsageError(f"'{text}' is no value for the recipe key '{key}', which wants {wanted}.") from None
