"""Out and in: `reidkit export DIR -o OUT --format mars|mevid|market|…`, `reidkit import DIR FILE`."""

import dataclasses
from collections import Counter
from pathlib import Path

import click

from ..datasets.errors import UsageError
from .options import BLUR_FACES, JSON, WITHOUT, topics_in
from .terminal import print_json, tell

CONSENTS = ("not-refused", "given", "all")
FORMATS = ("mars", "mevid", "market", "mot", "cvat", "webdataset", "parquet-images")


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
@click.option("--format", "format_", required=True, type=click.Choice(FORMATS), help="Whose layout it takes.")
@click.option(
    "--consent", type=click.Choice(CONSENTS), default=CONSENTS[0], show_default=True, help="Whose tracklets go along."
)
@WITHOUT
@BLUR_FACES
@click.option("--faces", type=click.Path(path_type=Path), help="A YOLO face or head detector (.onnx) for --blur-faces.")
@JSON
def export(
    dataset: Path,
    out: Path,
    format_: str,
    consent: str,
    withheld: str,
    blur_faces: bool,
    faces: Path | None,
    as_json: bool,
) -> None:
    """A dataset in another format.

    What the format can't hold is refused with the reason and the nearest format that can. Crops keep their bytes,
    unless heads are covered in them. Who refused consent is left out.
    """
    from ..toolkit.export.export import export as write

    if faces is not None and not blur_faces:
        raise UsageError("--faces says how heads are found for --blur-faces: give both.")
    done = write(
        dataset,
        out,
        format_,
        consent=consent,  # type: ignore[arg-type]
        topics=topics_in(withheld),
        blur_faces=blur_faces,
        faces=faces,
    )
    if as_json:
        print_json({"path": str(out), **dataclasses.asdict(done)})
        return
    counts = done.counts
    tell(f"{out}: {counts['identities']} identities, {counts['tracklets']} tracklets, {counts['crops']} crops.")
    for name, number in done.left_out.items():
        tell(f"Left out, as {done.format} has no place for them: {number} {name}.")
    for name, number in done.withheld.items():
        tell(f"Left out for people's sake: {number} {name}.")
    if done.faces:
        tell(
            f"Heads covered in {done.faces['crops']} crops. Of simulated people {done.faces['heads']:.1%} "
            f"of heads are: some {done.faces['heads_missed']} may not be, on real footage more. Look at some."
        )


@click.command("import")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--event", help="Event that the file is of. [default: as its name says]")
@click.option("--camera", help="Camera that the file is of.")
@click.option("--same-ids", is_flag=True, help="MOTChallenge: ids are the dataset's identities, as export writes them.")
@click.option("--dry-run", is_flag=True, help="Only say what would be decided.")
@JSON
def import_(
    dataset: Path, file: Path, event: str | None, camera: str | None, same_ids: bool, dry_run: bool, as_json: bool
) -> None:
    """Tracks or identities that were corrected elsewhere, as review decisions.

    FILE is a CVAT for video 1.1 XML, a MOTChallenge gt.txt, a folder of them, or a CSV with columns tracklet and
    identity. Boxes are matched to the tracklets by overlap and time; what differs goes into DATASET/decisions.jsonl.
    """
    if (event is None) != (camera is None):
        raise UsageError("--event and --camera go together: give both, or neither.")
    from ..toolkit.review.corrections import import_corrections

    place = None if event is None or camera is None else (event, camera)
    found = import_corrections(dataset, file, place=place, same_ids=same_ids, dry_run=dry_run)
    kinds = Counter(decision.do for decision in found.decisions)
    if as_json:
        print_json(
            {"path": str(dataset), "tracklets": found.tracklets, "decisions": kinds, "moved_to_test": found.moved}
        )
        return
    listed = ", ".join(f"{number} {do}" for do, number in sorted(kinds.items())) or "nothing to change"
    tell(f"{found.tracklets} tracklets looked at: {listed}{' (nothing written)' if dry_run else ''}.")
    if found.moved:
        listed = ", ".join(map(str, found.moved))
        tell(
            f"They would have been in train and test, and test now: identities {listed}. `reidkit split` divides anew."
        )
