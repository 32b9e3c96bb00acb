"""Everything that decides a run, in one frozen dataclass.

    recipe = override(resnet50.RECIPES["tiny"], ["epochs=3", "lr=1e-3", "height=64"])
    recipe = recipe.changed(seed=1, height=64)

A model's file holds its recipes by size. A model with options of its own subclasses `Recipe` and adds fields
(`cgclip.CgclipRecipe.tokens`), so that `--set tokens=4` works and a misspelt key is an error. Every field has a range
(`Annotated[int, Meta(ge=1, le=64)]`), which is checked when a recipe is made. The clip is one object, `recipe.clip`; on
the command line and in stored files its keys stand among the recipe's own.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self, cast

from msgspec import Meta

from ..datasets import UsageError
from ..datasets.clips import CLIP_KEYS, ClipSpec, Length
from ..datasets.errors import choices
from ..datasets.fields import check_fields, field_types, parse_field
from ..datasets.loader import LastClip, Sampling
from ..datasets.sampling import Composition, EpochOf, TrainChunks
from ..datasets.transforms import ERASE_AREA, ErasedFill, ErasedScope, Erasing
from ..leaderboard.results import Setting

WHAT = "recipe key"
CLIP = "clip"  # the field

Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1_000_000)]  # of a loss, or a factor of the learning rate
Temperature = Annotated[float, Meta(gt=0, le=1000)]
Rate = Annotated[float, Meta(ge=0, le=100)]  # a learning rate
Count = Annotated[int, Meta(ge=1, le=4096)]  # of things in a batch or of a model's parts
Epochs = Annotated[int, Meta(ge=0, le=100_000)]
Warmup = Literal["linear", "stair"]
Precision = Literal["bf16", "fp32"]
Pixel = Annotated[float, Meta(ge=-10, le=10)]  # a level after normalisation


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Lengths are in frames, sizes in pixels, rates per step of the optimiser, epochs in passes as `epoch_of` says.

    Raises:
        UsageError: a value outside its field's range.
    """

    clip: ClipSpec = ClipSpec()  # of training; `test_clip` differs in its length only
    train_stride: Annotated[int, Meta(ge=0, le=1024)] = 0  # frames from one to the next; 0: one of each of T chunks
    train_chunks: TrainChunks = "even"  # which chunks: see datasets.sampling
    # batch: P identities x K tracklets
    identities: Count = 8
    tracklets: Count = 4
    epoch_of: EpochOf = "identities"  # one pass over them, or over all tracklets in groups of K
    composition: Composition = "cameras"  # of a batch: see datasets.sampling.identity_batches
    # augmentation
    flip: Share = 0.5  # probability, per clip
    pad: Annotated[int, Meta(ge=0, le=512)] = 10  # pixels of padding before a random crop of the same size
    erase: Share = 0.5  # probability
    erase_scope: ErasedScope = "frame"  # what it is drawn for, and what it is filled with: see datasets.transforms
    erase_area: tuple[Share, Share] = ERASE_AREA
    erase_fill: ErasedFill = "value"
    erase_value: tuple[Pixel, Pixel, Pixel] = (0.0, 0.0, 0.0)
    # optimiser
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: Rate = 3.5e-4
    bias_lr_factor: Weight = 1.0
    weight_decay: Share = 5e-4
    bias_weight_decay: Share | None = None  # of biases; None: as of all others
    # schedule
    epochs: Epochs = 120
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[Epochs, ...] = (40, 70)
    gamma: Share = 0.1
    warmup: Warmup = "linear"  # a rise with each step, or with each epoch
    warmup_epochs: Epochs = 0
    warmup_factor: Share = 0.1  # of lr, at the first step
    min_lr: Rate = 0.0  # where a cosine ends
    # losses
    id_weight: Weight = 1.0
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    triplet_weight: Weight = 1.0
    triplet_margin: Annotated[float, Meta(ge=0, le=1000)] | None = 0.3  # None: soft margin
    triplet_distance: Literal["euclidean", "cosine"] = "euclidean"
    # test
    test_sampling: Sampling = "dense"  # see datasets.loader.evaluation_clips, as for test_last
    test_last: LastClip = "cycled"
    test_frames: Length = 8  # T of a test clip
    test_flip: bool = False  # average with the flipped clip
    metric: Literal["cosine", "euclidean"] = "cosine"
    # choice of the epoch: see validation
    validate: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # share of the training identities held out; 0: the last epoch
    validate_every: Epochs = 0  # epochs; 0: a tenth of them
    # machine
    precision: Precision = "bf16"
    compile: bool = False
    seed: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)] = 0
    pretrained: str = ""  # name or path of the backbone's weights; "" trains from scratch

    def __post_init__(self) -> None:
        if misplaced := sorted(set(CLIP_KEYS) & set(field_types(type(self)))):
            raise UsageError(
                f"{type(self).__name__} declares '{misplaced[0]}', which is the clip's. Write the clip instead: "
                f"clip: ClipSpec = ClipSpec({misplaced[0]}=…)."
            )
        check_fields(self, WHAT)

    @property
    def erasing(self) -> Erasing:
        """Random erasing as the transforms take it."""
        return Erasing(
            probability=self.erase,
            scope=self.erase_scope,
            area=self.erase_area,
            fill=self.erase_fill,
            value=self.erase_value,
        )

    @property
    def test_clip(self) -> ClipSpec:
        """The clip at test: `test_frames` frames of the same pixels."""
        return dataclasses.replace(self.clip, frames=self.test_frames)

    def changed(self, **values: object) -> Self:
        """A copy with other values, the clip's keys (`frames`, `height`, …) among them.

        Raises:
            UsageError: a key that the recipe doesn't have, or a value outside its range.
        """
        for key in values:
            if key != CLIP and key not in _types(type(self)):
                raise UsageError(choices(key, _types(type(self)), WHAT))
        of_clip = {key: values.pop(key) for key in CLIP_KEYS if key in values}
        if of_clip:
            values[CLIP] = dataclasses.replace(cast(ClipSpec, values.get(CLIP, self.clip)), **of_clip)
        return dataclasses.replace(self, **values)


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """`recipe` with each `key=value` applied, the value read by the field's type.

    Raises:
        UsageError: no `=`, a key the recipe doesn't have (the keys are listed), or a value that the field doesn't take.

    >>> recipe = override(Recipe(), ["epochs=3", "milestones=1,2", "height=64"])
    >>> recipe.epochs, recipe.milestones, recipe.clip.height
    (3, (1, 2), 64)
    """
    types, changes = _types(type(recipe)), {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"'{assignment}' is no override. Write it as key=value, for example --set epochs=5.")
        if key not in types:
            raise UsageError(choices(key, types, WHAT))
        changes[key] = parse_field(key, text, types[key], WHAT)
    return recipe.changed(**changes)


def to_dict(recipe: Recipe) -> dict[str, Setting]:
    """The recipe as JSON knows it: tuples are lists, and the clip's keys stand among the recipe's."""
    values = dataclasses.asdict(recipe)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in (values.pop(CLIP) | values).items()}


def from_dict(base: Recipe, values: Mapping[str, object]) -> Recipe:
    """A recipe of `base`'s class with the values that `to_dict` gave.

    A key that they lack is younger than they are and has the class' default, as it had no say in their run.

    Raises:
        UsageError: a key that the class doesn't have, or a value that the field doesn't take.
    """
    try:
        return _defaults(base).changed(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except UsageError as error:
        raise UsageError(f"{error} The run was made by another version of reidkit, or its file was edited.") from None


def agrees(stored: Mapping[str, object], recipe: Recipe) -> bool:
    """Whether a recipe that was stored is this one.

    A key that the stored one lacks is younger than it and counts as the class' default, which is what was done before.
    A key that the class doesn't have makes another recipe of it, as nobody can tell any more what it did.

    >>> agrees({"epochs": Recipe().epochs}, Recipe()), agrees({"colour": "red"}, Recipe())
    (True, False)
    """
    return to_dict(_defaults(recipe)) | dict(stored) == to_dict(recipe)


def _types(kind: type[Recipe]) -> dict[str, object]:
    """Key -> type with its range, the clip's keys first."""
    own = field_types(kind)
    return field_types(ClipSpec) | {key: own[key] for key in own if key != CLIP}


def _defaults(recipe: Recipe) -> Recipe:
    """A recipe of the same class whose fields all have the class' defaults; one without a default keeps its value."""
    fields = dataclasses.fields(recipe)
    plain = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    made = {f.name: f.default_factory() for f in fields if f.default_factory is not dataclasses.MISSING}
    return dataclasses.replace(recipe, **plain, **made)
