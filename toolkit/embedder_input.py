"""What an .onnx embedder takes: as its own metadata say, as a TOML file beside it says, or as most re-ID models do.

    takes = stated_input(Path("model.onnx"), session)     # model.toml beside it wins over the metadata
    batch = takes.arranged(batch)                         # float32 [N, 3, H, W], RGB -> as the model wants it

`reidkit export-model` writes the metadata (`Exported`, JSON under the key `reidkit`); `model.toml` is for models from
elsewhere (`StatedInput`):

    layout = "NHWC"            # or NCHW, or NTCHW: clips
    channels = "BGR"           # or RGB
    white = 255                # the level of white, 1 where it is left out
    mean = [0, 0, 0]           # in the model's order of channels and its levels
    deviation = [1, 1, 1]
    height = 256               # where the file leaves them open
    width = 128
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from ..datasets.clips import IMAGENET_MEAN, IMAGENET_STD, Length, Pixels
from ..datasets.schema import decode_json, read_toml

if TYPE_CHECKING:
    import onnxruntime

KEY = "reidkit"  # of the metadata
CAMERAS = "cameras"  # name of a second input: int64 [N], of models that know the cameras they were trained for
FIX = "docs/export-model.md shows such a file."

Level = Annotated[float, Meta(ge=-65535, le=65535)]
Deviation = Annotated[float, Meta(gt=0, le=65535)]


class StatedInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form of a model's pictures.

    Attributes:
        layout: N images, T frames of a clip, C channels, H rows, W columns.
        channels: their order; `mean` and `deviation` are in it.
        height, width: pixels; None: as the file has them.
        white: the level of white, black being 0, before the mean is taken off and the rest divided by the deviation.
        frames: of a clip, as the model was trained and tested.
        frame_step: other clips have a multiple of so many frames; 0: none but `frames`.
    """

    layout: Literal["NCHW", "NHWC", "NTCHW"] = "NCHW"
    channels: Literal["RGB", "BGR"] = "RGB"
    height: Pixels | None = None
    width: Pixels | None = None
    white: Annotated[float, Meta(gt=0, le=65535)] = 1.0
    mean: tuple[Level, Level, Level] = IMAGENET_MEAN
    deviation: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    frames: Length = 1
    frame_step: Annotated[int, Meta(ge=0, le=1024)] = 1

    @property
    def rgb_mean(self) -> np.ndarray:
        """[3], of R, G, B, where white is 1."""
        return self._rgb(self.mean)

    @property
    def rgb_deviation(self) -> np.ndarray:
        """[3], likewise."""
        return self._rgb(self.deviation)

    def _rgb(self, values: tuple[float, float, float]) -> np.ndarray:
        return np.array(values if self.channels == "RGB" else values[::-1]) / self.white

    def side(self, shape: list[int | str | None], axis: Literal["H", "W"]) -> int | None:
        """Pixels of an axis: as the shape of the file's input has it, else as stated; None where neither tells."""
        there = shape[self.layout.index(axis)]
        return there if isinstance(there, int) else self.height if axis == "H" else self.width

    def arranged(self, batch: np.ndarray, frames: int) -> np.ndarray:
        """Normalised pictures [N, 3, H, W], RGB, in the model's layout and order; a clip repeats its one picture."""
        batch = batch if self.channels == "RGB" else batch[:, ::-1]
        if self.layout == "NHWC":
            batch = batch.transpose(0, 2, 3, 1)
        elif self.layout == "NTCHW":
            batch = np.repeat(batch[:, None], frames, axis=1)
        return np.ascontiguousarray(batch)


class Exported(StatedInput, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What `reidkit export-model` says in a file's metadata, beside the form of the pictures.

    Attributes:
        model, size: as results carry them.
        weights, weights_sha256: the run's folder or the file, by name, and the file's sha256.
        trained_on: name of the dataset of a run of ours; "" for weights from elsewhere.
    """

    model: str
    size: str
    weights: str = ""
    weights_sha256: str = ""
    trained_on: str = ""


def stated_input(path: Path, session: "onnxruntime.InferenceSession") -> StatedInput:
    """How the model in `path` wants its pictures.

    Raises:
        UsageError: the TOML file beside it, or the metadata, don't fit the schema.
    """
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return read_toml(beside, StatedInput, FIX)
    told = session.get_modelmeta().custom_metadata_map.get(KEY)
    if told is not None:
        return decode_json(
            told, Exported, f"What '{path}' says of itself", "Export it again with `reidkit export-model`."
        )
    return StatedInput()
