"""`reidkit export DIR -o OUT --format mars|mevid|market|…`: a dataset in the formats of others."""

import dataclasses
from pathlib import Path

import click

from .options import JSON
from .terminal import print_json, tell

FORMATS = ("mars", "mevid", "market", "mot", "cvat", "webdataset", "parquet-images")


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
@click.option("--format", "format_", required=True, type=click.Choice(FORMATS), help="Whose layout it takes.")
@JSON
def export(dataset: Path, out: Path, format_: str, as_json: bool) -> None:
    """A dataset in another format.

    What the format can't hold is refused with the reason and the nearest format that can. Crops keep their bytes.
    """
    from ..toolkit.export.export import export as write

    done = write(dataset, out, format_)
    if as_json:
        print_json({"path": str(out), **dataclasses.asdict(done)})
        return
    counts = done.counts
    tell(f"{out}: {counts['identities']} identities, {counts['tracklets']} tracklets, {counts['crops']} crops.")
    for name, number in done.left_out.items():
        tell(f"Left out, as {done.format} has no place for them: {number} {name}.")
