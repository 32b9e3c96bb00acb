"""`reidkit caption DIR --captioner template`."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--captioner", default="template", show_default=True, help="template: from an attribute table.")
@click.option("--attributes", type=click.Path(path_type=Path), help="Attribute table [default: DIR/attributes.csv].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def caption(dataset: Path, captioner: str, attributes: Path | None, as_json: bool) -> None:
    """Write captions for the people of a dataset.

    What is in captions.jsonl already is kept: a second run asks only for what is missing.
    """
    import polars as pl

    from ...datasets import UsageError
    from ...datasets.errors import choices
    from ...datasets.format import ATTRIBUTES, MANIFEST, TRACKLETS
    from .store import Caption, append, open_captions, read_captions
    from .template import captions_for, read_attributes, template_sha256

    if captioner != "template":
        raise UsageError(choices(captioner, ["template"], "captioner"))
    if not (dataset / MANIFEST).is_file():
        raise UsageError(
            f"'{dataset}' is no finished dataset: it has no {MANIFEST}. Run `reidkit build-dataset` first."
        )
    rows = pl.read_parquet(dataset / TRACKLETS).filter(pl.col("kind") == "person")
    people = list(rows.select("id", "identity").iter_rows())
    table = read_attributes(attributes or dataset / ATTRIBUTES)

    done = {c.tracklet for c in read_captions(dataset) if c.captioner == "template"}
    texts = captions_for(people, table)
    missing = len(people) - len(texts)
    with open_captions(dataset) as file:
        for tracklet, text in texts.items():
            if tracklet not in done:
                append(file, Caption(tracklet, text, "template", "", template_sha256()))
    if not texts:
        raise UsageError(
            f"None of the {len(people)} tracklets' identities is in the attribute table. Check its numbers."
        )
    written = len(set(texts) - done)
    if as_json:
        click.echo(json.dumps({"written": written, "kept": len(done), "without_attributes": missing}))
    else:
        click.echo(f"{written} captions written, {len(done)} kept, {missing} tracklets without attributes.")
