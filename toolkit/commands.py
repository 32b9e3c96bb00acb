"""`reidkit build-dataset RAW -o OUT`, `reidkit inspect DIR`, `reidkit check DIR`."""

import functools
import json
import os
from pathlib import Path

import click

from ..datasets.errors import ReidkitError, UsageError, choices

SPLITS = ("auto", "event", "identity", "test")
PROTOCOLS = ("auto", "video-reid", "single-camera-views")


@click.command()
@click.argument("raw", type=click.Path(path_type=Path))
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="Folder of the dataset.")
@click.option("--name", default="", help="Name of the dataset [default: the folder's].")
@click.option("--detector", default="yolo11m.pt", show_default=True, help="Ultralytics name, .pt, .onnx, or simulated.")
@click.option(
    "--embedder", default="clip", show_default=True, help="clip, simulated, a re-ID .onnx, or a run's folder."
)
@click.option("--tracker", default="bytetrack", show_default=True, help="bytetrack, ocsort or botsort.")
@click.option("--protocol", default="auto", show_default=True, help=", ".join(PROTOCOLS) + ".")
@click.option(
    "--split", "by", default="auto", show_default=True, help=", ".join(SPLITS) + ": what train and test divide."
)
@click.option("--test-share", default=0.5, show_default=True, help="Share of the identities that test.")
@click.option("--seed", default=0, show_default=True, help="Of the division.")
@click.option("--people", type=int, help="Number of people an event has, where it is known.")
@click.option("--workers", type=int, help="Processes [default: one for two processors].")
@click.option("--max-loss", default=0.05, show_default=True, help="Share of frames that may fail to decode.")
@click.option("--trust-weights", is_flag=True, help="Read a detector .pt that can run code and is on no list.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.pass_context
def build_dataset(
    context: click.Context,
    raw: Path,
    out: Path,
    name: str,
    detector: str,
    embedder: str,
    tracker: str,
    protocol: str,
    by: str,
    test_share: float,
    seed: int,
    people: int | None,
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
    for value, allowed, what in ((protocol, PROTOCOLS, "protocol"), (by, SPLITS, "split")):
        if value not in allowed:
            raise UsageError(choices(value, allowed, what))
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers} is too few: give 1 or more.")
    from .build import BuildSettings, build
    from .detect import load_detector
    from .embed import load_embedder
    from .events import EventSettings
    from .footage import FootageSettings
    from .link import LinkSettings
    from .split import SplitSettings
    from .track import TRACKERS

    if tracker not in TRACKERS:
        raise UsageError(choices(tracker, TRACKERS, "tracker"))
    settings = BuildSettings(
        name=name,
        protocol=protocol,
        footage=FootageSettings(tracker=tracker),
        event=EventSettings(link=LinkSettings(people=people)),
        split=SplitSettings(by=by, test_share=test_share, seed=seed),
        max_loss=max_loss,
    )
    outcome = build(
        raw,
        out,
        settings,
        functools.partial(_load, load_detector, detector, trust_weights=trust_weights),
        functools.partial(_load, load_embedder, embedder, open_run=_open_run(context)),
        workers or max(1, len(os.sched_getaffinity(0)) // 2),
    )
    manifest = outcome.manifest
    if as_json:
        keys = ("name", "protocol", "counts", "losses", "split", "scores", "linking", "notes", "fingerprint")
        print(json.dumps({"path": str(out), **{key: manifest[key] for key in keys}}, ensure_ascii=False))
    else:
        _print_counts(manifest["name"], manifest["protocol"], manifest["counts"])
        _print_scores(manifest["scores"])
        for note in manifest["notes"]:
            click.echo(note)
        click.echo(f"Dataset: {out}\nContact sheet: {', '.join(str(page) for page in outcome.sheets)}")
    outcome.raise_for_loss(max_loss)


def _load(load, name: str, threads: int | None, **options):
    """A detector or embedder with so many threads; a module's function, so that other processes can be given it."""
    return load(name, threads=threads, **options)


def _open_run(context: click.Context):
    """How to open a trained run. Models are known by name to the command line's root only, which leaves it in `obj`."""
    module_of = context.find_root().obj

    def open_run(folder: Path):
        import torch

        from ..training.trained import open_run as opened
        from ..training.trained import read_facts

        facts = read_facts(folder)
        if facts is None or module_of is None:
            raise UsageError(
                f"'{folder}' is no run of reidkit. Give a folder that `reidkit run` wrote, or an .onnx file."
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        trained = opened(module_of(facts["model"]), folder, device)

        def embed(clips):
            cameras = torch.zeros(len(clips), dtype=torch.int64, device=device)
            return trained.model.embed(clips.to(device), cameras)

        return embed, trained.recipe

    return open_run


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--sheet", type=click.Path(path_type=Path), help="Write the contact sheet to this .jpg or .png.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def inspect(dataset: Path, sheet: Path | None, as_json: bool) -> None:
    """What a dataset holds; its contact sheet."""
    if sheet is not None and sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"'{sheet}' is no picture that can be written; end it with .jpg or .png.")
    import polars as pl

    from ..datasets.format import FRAMES, TRACKLETS
    from .manifest import summary
    from .sheets import write_sheets

    facts = summary(dataset)
    pages = []
    if sheet is not None:
        pages = write_sheets(dataset, sheet, pl.read_parquet(dataset / TRACKLETS), pl.read_parquet(dataset / FRAMES))
    if as_json:
        print(json.dumps({**facts, "sheets": [str(page) for page in pages]}, ensure_ascii=False))
        return
    _print_counts(facts["name"], facts["protocol"], facts)
    cameras = facts["camera_names"]
    _table(
        ["identity", *cameras],
        [[name, *(str(seen.get(c, "")) for c in cameras)] for name, seen in facts["by_identity"].items()],
        "tracklets of each identity by camera",
    )
    _print_scores(facts["scores"])
    for note in facts["notes"]:
        click.echo(note)
    for page in pages:
        click.echo(f"Contact sheet: {page}")


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def check(dataset: Path, as_json: bool) -> None:
    """Verify a dataset's files, splits and fingerprint."""
    from .manifest import check as find_problems

    problems = find_problems(dataset)
    if as_json:
        print(json.dumps({"path": str(dataset), "problems": problems}, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(problem)
    if problems:
        raise ReidkitError(
            f"'{dataset}' has {len(problems)} {'problem' if len(problems) == 1 else 'problems'}. "
            "Copy it again, or run its build command again."
        )
    if not as_json:
        click.echo(f"'{dataset}' is whole: every file, crop, count and the fingerprint agree.")


def _print_counts(name: str, protocol: str, counts: dict) -> None:
    click.echo(
        f"{name} ({protocol}): {counts['identities']} identities, {counts['tracklets']} tracklets "
        f"({counts['junk']} junk), {counts['cameras']} cameras, {counts['events']} events, {counts['crops']} crops"
    )
    click.echo(
        f"train: {counts['train_identities']} identities, {counts['train_tracklets']} tracklets; "
        f"test: {counts['test_identities']} identities, {counts['query']} queries, {counts['gallery']} in the gallery"
    )


SCORES = (
    ("detection", ("recall", "detection_recall"), ("precision", "detection_precision")),
    ("tracking", ("IDF1", "idf1"), ("HOTA", "hota"), ("purity", "tracklet_purity")),
    ("links across cameras", ("precision", "link_precision"), ("recall", "link_recall")),
    ("all pairs", ("precision", "pair_precision"), ("recall", "pair_recall")),
    ("B-cubed", ("precision", "bcubed_precision"), ("recall", "bcubed_recall")),
)


def _print_scores(scores: dict | None) -> None:
    if not scores:
        return
    click.echo("Against ground truth:")
    for title, *values in SCORES:
        if values[0][1] not in scores:  # annotated boxes are not scored against themselves
            continue
        texts = [f"{label} {'-' if scores[key] is None else format(scores[key], '.3f')}" for label, key in values]
        click.echo(f"  {title}: {', '.join(texts)}")
    click.echo(f"  identities: {scores['identities']} found, {scores['true_identities']} true")


def _table(header: list[str], rows: list[list[str]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for k, name in enumerate(header):
        table.add_column(name, justify="left" if k == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
