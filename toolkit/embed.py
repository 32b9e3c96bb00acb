"""Appearance embeddings of crops, for cutting and linking tracklets.

An embedder is loaded by its name, file or folder:

    embedder = load_embedder("weights/osnet_x0_25_msmt17.onnx")     # any re-ID model, of `reidkit export-model` too
    embedder = load_embedder("clip")                                # CLIP ViT-B/16, image tower
    embedder = load_embedder("simulated")                           # ships with reidkit, for simulated footage
    embedder = load_embedder("runs/mars/resnet50/seed0")            # a model trained by `reidkit run`
    found = embed_source(extracted.frames, extracted.looks, embedder, out, cache)

The features are normalised, so that the product of two is their cosine similarity.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import polars as pl

from ..datasets import UsageError
from ..datasets.cores import usable_cores
from ..datasets.errors import MissingWeights, choices
from ..datasets.files import atomic_path, sha256_file
from ..datasets.images import crop
from ..datasets.progress import progress
from ..datasets.tracklet import Frames
from ..training import weights
from .crops import crop_quality
from .embedder_input import CAMERAS, stated_input
from .looks import Looks
from .onnx_session import open_session, with_one_thread

ASSETS = Path(__file__).resolve().parent / "assets"
SIMULATED = "simulated"
CLIP = "clip"
BATCH = 16
# Crops a tracklet is known by: so many a second, within these limits.
CROPS_A_SECOND = 3.0
FEWEST, MOST = 8, 32
ENOUGH = 4  # embedded crops of a tracklet: where tracking made so many, no more are made
BEST = 0.5  # share of a tracklet's embedded crops, the best ones, that its own embedding is the mean of


class Embedder(Protocol):
    """What the builder asks of an embedder: `name` and `sha256` for the manifest, and `embed`."""

    name: str
    sha256: str

    def embed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Images (uint8 RGB [H, W, 3], any sizes) -> [N, D] float32, rows L2-normalised."""
        ...


def load_embedder(name: str | Path, *, threads: int | None = None) -> Embedder:
    """The embedder of that name, file, or folder of a training run.

    Raises:
        MissingWeights: weights that `reidkit weights get` can fetch are not here.
        UsageError: unknown name, absent or unusable weights.
    """
    text, threads = str(name), threads or usable_cores()
    path = Path(text).expanduser()
    if text == SIMULATED:
        path = ASSETS / "embedder.onnx"
        if not path.is_file():
            raise UsageError(
                f"The embedder of simulated footage is not installed ('{path.name}'). "
                "Name an .onnx re-ID model, `clip`, or the folder of a run of `reidkit run` with --embedder."
            )
        return OnnxEmbedder(path, SIMULATED, threads)
    if path.suffix.lower() == ".onnx":
        path = weights.at_hand(path, "embedder", "give the path of a re-ID model as .onnx, or --embedder clip")
        return OnnxEmbedder(path, path.name, threads)
    if text == CLIP:
        return ClipEmbedder()
    if path.is_dir():
        return RunEmbedder(path)
    raise UsageError(
        choices(text, [CLIP, SIMULATED], "embedder")
        + " A path of an .onnx re-ID model or of the folder of a run of `reidkit run` does as well."
    )


class OnnxEmbedder:
    """A re-ID model in an .onnx file, in the form that `embedder_input` finds stated, else [1 or N, 3, H, W], RGB,
    ImageNet-normalised; output [1 or N, D], also with heights and widths of 1 behind it, as the re-ID model of OpenCV's
    zoo has.

    To a model of clips a crop is a clip of one frame, or of as few as it takes, each of them that crop; its camera is
    unknown (0).

    Its `sha256` covers the file, and the TOML file beside it.

    Raises:
        UsageError: the file is no ONNX model, or its input or output is of another form.
    """

    def __init__(self, path: Path, name: str, threads: int) -> None:
        self.calls_at_once, self._path = False, path
        self.session = open_session(path, threads)
        self._takes = takes = stated_input(path, self.session)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        shape = list(inputs[0].shape)
        more = [one.name for one in inputs[1:]]
        fits = len(shape) == len(takes.layout) and shape[takes.layout.index("C")] == 3 and more in ([], [CAMERAS])
        height, width = (takes.side(shape, "H"), takes.side(shape, "W")) if fits else (None, None)
        if height is None or width is None:
            raise UsageError(
                f"'{path}' takes {'several inputs' if more else shape}; an embedder takes images "
                f"[{', '.join(takes.layout).replace('C', '3')}], their height and width known. A file "
                f"'{path.with_suffix('.toml').name}' beside it may state another layout, and both."
            )
        if len(outputs[0].shape) < 2 or any(side != 1 for side in outputs[0].shape[2:]):
            raise UsageError(f"'{path}' gives {outputs[0].shape}; an embedder gives [N, D]. Is it a detector?")
        self.name, self.sha256 = name, sha256_file(path)
        beside = path.with_suffix(".toml")
        if beside.is_file():
            self.sha256 = hashlib.sha256((self.sha256 + sha256_file(beside)).encode()).hexdigest()
        self.height, self.width = height, width
        self.batch = shape[0] if isinstance(shape[0], int) else BATCH
        self._fixed = isinstance(shape[0], int)
        length = shape[1] if takes.layout == "NTCHW" else 1
        self._frames = length if isinstance(length, int) else takes.frame_step or takes.frames
        self._input, self._output, self._more = inputs[0].name, outputs[0].name, more

    def one_thread_a_call(self) -> "OnnxEmbedder":
        """The same, for several calls at once (`at_once`); itself on a GPU."""
        return with_one_thread(self)

    def embed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        rows, takes = [], self._takes
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            batch = to_batch(part, self.height, self.width, takes.rgb_mean, takes.rgb_deviation)
            count = len(batch)
            if self._fixed and count < self.batch:
                batch = np.concatenate([batch, np.zeros((self.batch - count, *batch.shape[1:]), np.float32)])
            feed = {self._input: takes.arranged(batch, self._frames)}
            feed |= {name: np.zeros(len(batch), np.int64) for name in self._more}
            rows.append(self.session.run([self._output], feed)[0][:count].reshape(count, -1))
        return normalise(np.concatenate(rows)) if rows else np.zeros((0, 1), np.float32)


class ClipEmbedder:
    """The projected class token of CLIP's image tower, ViT-B/16 at 256 x 128."""

    name = CLIP
    height, width = 256, 128

    def __init__(self, backbone: str = "ViT-B-16-quickgelu", pretrained: str = "openai") -> None:
        import torch

        from ..baselines.clip import load_clip

        try:
            tower = load_clip(backbone, pretrained, self.height, self.width).image.eval()
        except MissingWeights as error:  # what else its sentence offers (--set, --from-scratch) is for training
            raise weights.missing(*error.names, otherwise="name another embedder: --embedder FILE.onnx") from None
        digest = hashlib.sha256()
        for key, value in tower.state_dict().items():
            digest.update(key.encode() + value.numpy().tobytes())
        self.sha256 = digest.hexdigest()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        # With the weights cast, a CPU is four times as fast; autocast would be slower than float32.
        self._tower = tower.to(self.device, torch.bfloat16)

    def embed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        import torch

        from ..datasets.clips import CLIP_MEAN, CLIP_STD

        rows = []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                batch = to_batch(images[start : start + BATCH], self.height, self.width, CLIP_MEAN, CLIP_STD)
                tokens = self._tower(torch.from_numpy(batch).to(self.device, torch.bfloat16)).projected
                rows.append(tokens[:, 0].float().cpu().numpy())
        return normalise(np.concatenate(rows)) if rows else np.zeros((0, 1), np.float32)


class RunEmbedder:
    """A model trained by `reidkit run`; a crop is a clip of one frame to it, its camera unknown (0).

    Its `sha256` covers the weights, and a user's own model file.
    """

    def __init__(self, folder: Path) -> None:
        import torch

        from ..training.trained import open_run

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        trained = open_run(folder, self._device)
        self._model, self._spec = trained.model, trained.recipe.clip
        self.name = folder.name
        parts = sha256_file(trained.weights) + (trained.facts.source if trained.facts.file else "")
        self.sha256 = hashlib.sha256(parts.encode()).hexdigest()

    def embed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        import torch

        from ..training.model import check_features
        from ..training.user_model import user_faults

        spec, rows = self._spec, []
        with user_faults(), torch.inference_mode():
            for start in range(0, len(images), BATCH):
                batch = to_batch(images[start : start + BATCH], spec.height, spec.width, spec.mean, spec.std)
                clips = torch.from_numpy(batch)[:, None].to(self._device)
                cameras = torch.zeros(len(clips), dtype=torch.int64, device=self._device)
                features = self._model.embed(clips, cameras)
                check_features(features, type(self._model).__name__, len(clips))
                rows.append(features.float().cpu().numpy())
        return normalise(np.concatenate(rows)) if rows else np.zeros((0, 1), np.float32)


def to_batch(
    images: Sequence[np.ndarray],
    height: int,
    width: int,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """Images uint8 RGB [H, W, 3] -> float32 [N, 3, height, width], normalised; areas averaged where they shrink."""
    batch = np.empty((len(images), 3, height, width), np.float32)
    for row, image in enumerate(images):
        shrinks = image.shape[0] > height and image.shape[1] > width
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        batch[row] = ((small.astype(np.float32) / 255.0 - mean) / std).transpose(2, 0, 1)
    return batch


def normalise(rows: np.ndarray) -> np.ndarray:
    """The rows [N, D], each brought to length 1.

    >>> normalise([[0, 2]]).tolist()
    [[0.0, 1.0]]
    """
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class CropEmbeddings:
    """The embedded crops of one source, ordered by tracklet and time.

    Attributes:
        row: [n] row of the source's frames table. features: [n, D], rows L2-normalised. quality: [n] in 0..1.
    """

    row: np.ndarray
    features: np.ndarray
    quality: np.ndarray


def embed_source(
    frames: pl.DataFrame, looks: Looks, embedder: Embedder, root: Path, cache: Path, title: str = ""
) -> CropEmbeddings:
    """Embeds a choice of each tracklet's crops; read back from `cache` (an .npz) where it is there and whole.

    Args:
        frames: FRAME_COLUMNS of one source; shards lie below `root`.
        looks: of the rows of `frames`: what is embedded already.
        cache: named by the caller after all that decides its content.
    """
    stored = read_cache(cache, len(frames))
    if stored is not None:
        return stored
    quality = crop_quality(frames).to_numpy().astype(np.float32)
    rows = choose_crops(frames, quality, looks.known)
    waiting = rows[~looks.known[rows]]
    shards, offsets, lengths = (frames[name].to_list() for name in ("shard", "offset", "length"))
    parts = []
    with progress(f"{title}: embed".lstrip(": "), total=len(waiting), unit="crops") as advance:
        for start in range(0, len(waiting), 4 * BATCH):
            chunk = waiting[start : start + 4 * BATCH]
            images = [crop(Frames((str(root / shards[i]),), (offsets[i],), (lengths[i],)), 0) for i in chunk]
            parts.append(embedder.embed(images))
            advance(len(chunk))
    features = np.concatenate(parts) if parts else np.zeros((0, looks.features.shape[1] or 1), np.float32)
    if len(waiting) < len(rows):
        features, made = looks[rows].astype(np.float32), features
        features[~looks.known[rows]] = made
    found = CropEmbeddings(rows, features, quality[rows])
    with atomic_path(cache) as temporary, open(temporary, "wb") as file:
        np.savez(file, row=found.row, features=found.features, quality=found.quality)
    return found


def read_cache(cache: Path, crops: int) -> CropEmbeddings | None:
    """What `embed_source` kept of a source of so many crops; None where it is absent, damaged, or of another source."""
    if not cache.is_file():
        return None
    try:
        with np.load(cache, allow_pickle=False) as stored:
            found = CropEmbeddings(stored["row"], stored["features"], stored["quality"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = len(found.row) == len(found.features) == len(found.quality) and found.row.max(initial=-1) < crops
    return found if fits else None


def choose_crops(frames: pl.DataFrame, quality: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The rows of the crops that a tracklet is known by: of those that are embedded, or, where they are fewer than
    `ENOUGH`, these and the best others.

    Of many the best crop of each of the equal times is chosen that the tracklet's span is cut into.

    Args:
        quality: [rows of `frames`]. known: [rows] whether a crop is embedded.
    """
    chosen = []
    time = frames["time"].to_numpy()
    for _, group in frames.with_row_index("row").group_by("tracklet", maintain_order=True):
        rows = group["row"].to_numpy().astype(np.int64)
        rows = rows[np.argsort(time[rows], kind="stable")]
        span = time[rows[-1]] - time[rows[0]]
        count = int(np.clip(round(span * CROPS_A_SECOND), FEWEST, MOST))
        if known[rows].any():
            best = rows[np.lexsort((rows, -quality[rows], ~known[rows]))]
            rows = np.sort(best[: max(ENOUGH, int(known[rows].sum()))])
        if len(rows) > count:
            bins = np.minimum(((time[rows] - time[rows[0]]) / max(span, 1e-9) * count).astype(int), count - 1)
            best = np.lexsort((rows, -quality[rows], bins))
            first = np.unique(bins[best], return_index=True)[1]
            rows = np.sort(rows[best[first]])
        chosen.append(rows)
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


def tracklet_embedding(features: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """[D], L2-normalised: the quality-weighted mean of the better half (at least four) of a tracklet's crops [n, D]."""
    count = max(min(4, len(quality)), int(np.ceil(BEST * len(quality))))
    best = np.argsort(-quality, kind="stable")[:count]
    mean = (features[best] * np.maximum(quality[best], 1e-3)[:, None]).sum(0)
    return normalise(mean[None])[0]
