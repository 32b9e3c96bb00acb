"""A dataset from footage in one call: what `reidkit build-dataset` does.

    outcome = build_dataset("raw/", detector="yolox_s.onnx", embedder="osnet.onnx")
    outcome.manifest["counts"]

`toolkit/build.py` does the work.
"""

from functools import partial
from pathlib import Path

from ..datasets.cores import usable_cores
from .build import BuildSettings, Outcome, build
from .detect import load_detector
from .embed import load_embedder

__all__ = ["build_dataset", "default_output"]


def default_output(raw: Path | str) -> Path:
    """The folder `<raw's name>-dataset` beside the footage's, relative to the working folder where it lies below it."""
    resolved = Path(raw).resolve()
    out = resolved.with_name(f"{resolved.name}-dataset")
    return out.relative_to(Path.cwd()) if out.is_relative_to(Path.cwd()) else out


def build_dataset(
    raw: Path | str,
    out: Path | str | None = None,
    *,
    detector: str = "yolo11m.pt",
    embedder: str = "clip",
    settings: BuildSettings | None = None,
    workers: int | None = None,
    trust_weights: bool = False,
) -> Outcome:
    """Raw footage to a re-ID dataset; a build that was stopped goes on.

    Args:
        raw: folder of the footage: `<event>/<camera>.mp4`, folders of images, or MOTChallenge sequences.
        out: folder of the dataset; None: `default_output(raw)`.
        detector: an Ultralytics name, a .pt or .onnx file, or "simulated".
        embedder: "clip", "simulated", a re-ID .onnx file, or a run's folder.
        settings: everything else that decides the build; None: the defaults.
        workers: processes; None: one for two cores.
        trust_weights: read a .pt, which can run code, that nobody vouches for.

    Raises:
        MissingWeights: the detector's or the embedder's weights are not on this machine.
        UsageError: no footage, or an output folder that holds something else.
        ReidkitError: nobody was found, or the output can't be written.
    """
    return build(
        Path(raw),
        default_output(raw) if out is None else Path(out),
        settings or BuildSettings(),
        # functions of a module, not closures: the processes of the pool are given them
        partial(_load_detector, detector, trust_weights),
        partial(_load_embedder, embedder),
        workers or max(1, usable_cores() // 2),
    )


def _load_detector(name: str, trust_weights: bool, threads: int | None):
    return load_detector(name, trust_weights=trust_weights, threads=threads)


def _load_embedder(name: str, threads: int | None):
    return load_embedder(name, threads=threads)
