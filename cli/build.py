"""From raw footage to a dataset: `reidkit build-dataset RAW`."""

from pathlib import Path

import click

from ..datasets.progress import say
from .inspect import print_counts, print_scores
from .options import JSON
from .terminal import print_json

SPLITS = ("auto", "event", "identity", "test")
PROTOCOLS = ("auto", "video-reid", "single-camera-views")
FLOORS = ("auto", "off")
TRACKERS = ("looks", "bytetrack", "ocsort", "botsort", "cbiou", "mcbyte")


@click.command()
@click.argument("raw", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), help="Folder of the dataset. [default: RAW-dataset]"
)
@click.option("--name", default="", help="Name of the dataset [default: the folder's].")
@click.option("--detector", default="yolo11m.pt", show_default=True, help="Ultralytics name, .pt, .onnx, or simulated.")
@click.option("--flip-test", is_flag=True, help="Detect in mirrored frames, too, and fuse the boxes: twice the time.")
@click.option(
    "--drop-duplicates/--keep-duplicates",
    default=None,
    help="Second boxes on one person. [default: dropped, but by simulated]",
)
@click.option(
    "--embedder", default="clip", show_default=True, help="clip, simulated, a re-ID .onnx, or a run's folder."
)
@click.option(
    "--tracker", type=click.Choice(TRACKERS), default="looks", show_default=True, help="What joins boxes to tracks."
)
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="auto", show_default=True)
@click.option(
    "--split", "by", type=click.Choice(SPLITS), default="auto", show_default=True, help="What train and test divide."
)
@click.option("--test-share", type=float, help="Share of the identities that test. [default: as before, or 0.5]")
@click.option("--folds", type=int, help="Divide into so many parts, each the test set once; --test-share is not used.")
@click.option("--validation", type=float, help="Share of the training identities that validate. [default: as before]")
@click.option("--seed", type=int, help="Of the division. [default: as before, or 0]")
@click.option("--people", type=int, help="Number of people an event has, where it is known.")
@click.option(
    "--floor", type=click.Choice(FLOORS), default="auto", show_default=True, help="Whether to use where people stand."
)
@click.option("--workers", type=click.IntRange(1), help="Processes. [default: one for two cores]")
@click.option("--max-loss", default=0.05, show_default=True, help="Share of frames that may fail to decode.")
@click.option("--trust-weights", is_flag=True, help="Read a .pt, which can run code, that nobody vouches for.")
@JSON
def build_dataset(
    raw: Path,
    out: Path | None,
    name: str,
    detector: str,
    flip_test: bool,
    drop_duplicates: bool | None,
    embedder: str,
    tracker: str,
    protocol: str,
    by: str,
    test_share: float | None,
    folds: int | None,
    validation: float | None,
    seed: int | None,
    people: int | None,
    floor: str,
    workers: int | None,
    max_loss: float,
    trust_weights: bool,
    as_json: bool,
) -> None:
    """Raw footage to a re-ID dataset.

    RAW holds <event>/<camera>.mp4 (or <camera>.mp4 for one event), folders of images, or MOTChallenge sequences; a file
    RAW/reidkit.toml may name cameras, time offsets and regions to ignore. Stopped work goes on when the same command is
    run again.
    """
    from ..toolkit import use
    from ..toolkit.build import BuildSettings
    from ..toolkit.floor.settings import FloorSettings
    from ..toolkit.linking import LinkSettings
    from ..toolkit.rebuild import division_before
    from ..toolkit.resplit import Wish
    from ..toolkit.settings import EventSettings, FootageSettings

    if out is None:
        out = use.default_output(raw)
        say(f"The dataset goes to '{out}'; -o names another folder.")
    wish = Wish(None if by == "auto" else by, test_share, folds, validation, seed)  # type: ignore[arg-type]
    settings = BuildSettings(
        name=name,
        protocol=protocol,
        footage=FootageSettings(tracker=tracker, flip_test=flip_test, drop_duplicates=drop_duplicates),
        event=EventSettings(link=LinkSettings(people=people), floor=FloorSettings(use=floor)),
        split=wish.settings(division_before(out)),
        max_loss=max_loss,
    )
    outcome = use.build_dataset(
        raw, out, detector=detector, embedder=embedder, settings=settings, workers=workers, trust_weights=trust_weights
    )
    manifest = outcome.manifest
    if as_json:
        keys = ("name", "protocol", "counts", "losses", "split", "scores", "linking", "floor", "notes", "fingerprint")
        print_json({"path": str(out), **{key: manifest[key] for key in keys}})
    else:
        print_counts(manifest["name"], manifest["protocol"], manifest["counts"])
        print_scores(manifest["scores"])
        for note in manifest["notes"]:
            click.echo(note)
        click.echo(f"Dataset: {out}\nContact sheet: {', '.join(str(page) for page in outcome.sheets)}")
        if outcome.floor:
            click.echo(f"Floor: {outcome.floor}")
    outcome.raise_for_loss(max_loss)
