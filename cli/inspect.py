"""Look at a dataset: `reidkit inspect DIR`, `reidkit check DIR`."""

import dataclasses
from pathlib import Path

import click

from ..datasets.errors import ReidkitError, UsageError
from .options import JSON
from .terminal import print_json, show, tell


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--sheet", type=click.Path(path_type=Path), help="Write the contact sheet to this .jpg or .png.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the dataset's card to this .html.")
@click.option("--croissant", type=click.Path(path_type=Path), help="Write Croissant 1.1 metadata to this .json.")
@JSON
def inspect(dataset: Path, sheet: Path | None, html: Path | None, croissant: Path | None, as_json: bool) -> None:
    """What a dataset holds; its contact sheet, its card, its metadata.

    The card and the metadata take what only the makers know from DATASET/datasheet.toml, and name what is missing.
    """
    if sheet is not None and sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"'{sheet}' is no picture that can be written; end it with .jpg or .png.")
    from ..datasets.own import reviewed_identities, reviewed_tables
    from ..toolkit.manifest import summary
    from ..toolkit.sheets import write_sheets

    facts = summary(dataset)
    pages = []
    if sheet is not None:
        pages = write_sheets(dataset, sheet, *reviewed_tables(dataset), reviewed_identities(dataset))
    missing = _write_card(dataset, html, croissant)
    if as_json:
        asked = {"datasheet_missing": sorted(missing)} if html or croissant else {}
        print_json({**facts, "sheets": [str(page) for page in pages], **asked})
        return
    print_counts(facts["name"], facts["protocol"], facts)
    cameras = facts["camera_names"]
    rows = [(name, *(str(seen.get(c, "")) for c in cameras)) for name, seen in facts["by_identity"].items()]
    show(("identity", *cameras), rows, title="tracklets of each identity by camera", right=cameras)
    print_scores(facts["scores"])
    columns = ("camera", *(label for label, _ in BY_SOURCE))
    by_source = [
        (name, *("-" if of[key] is None else f"{of[key]:.3f}" for _, key in BY_SOURCE))
        for name, of in facts["by_source"].items()
    ]
    if by_source:
        show(columns, by_source, title="final identities by camera", right=columns[1:])
    if facts["same_person"]:
        same = [
            (*map(str, one["identities"]), *one["events"], f"{one['probability']:.2f}") for one in facts["same_person"]
        ]
        columns = ("identity", "and", "of event", "and of", "probability")
        show(columns, same, title="may be one person in two events", right=("identity", "and", "probability"))
    print_doubts(facts["doubtful"])
    print_review(facts["review"])
    print_rights(facts["rights"])
    for note in facts["notes"]:
        tell(note)
    for page in pages:
        tell(f"Contact sheet: {page}")
    for what, path in (("Card", html), ("Croissant metadata", croissant)):
        if path is not None:
            tell(f"{what}: {path}")
    for key, question in missing.items():
        tell(f"Not answered in datasheet.toml: {key}. {question}")


def _write_card(dataset: Path, html: Path | None, croissant: Path | None) -> dict[str, str]:
    """Writes the card and the metadata where they are wanted; returns the datasheet's open questions, by key."""
    if html is None and croissant is None:
        return {}
    from ..datasets.files import write_atomic, write_json
    from ..toolkit.card.croissant import croissant as metadata
    from ..toolkit.card.datasheet import read_datasheet
    from ..toolkit.card.page import card_page

    if html is not None:
        write_atomic(html, card_page(dataset))
    if croissant is not None:
        write_json(croissant, metadata(dataset))
    return read_datasheet(dataset).missing()


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@JSON
def check(dataset: Path, as_json: bool) -> None:
    """Verify a dataset: files, crops, sides of the split, queries, balance, captions, review decisions.

    DATASET is one of ours, or MARS, LS-VID, iLIDS-VID or a folder laid out like one of them. Exit code 1 where anything
    is wrong.
    """
    from ..toolkit.check import find_problems

    problems = find_problems(dataset)
    if as_json:
        print_json({"path": str(dataset), "problems": [dataclasses.asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            tell(problem.text)
    if problems:
        raise ReidkitError(
            f"'{dataset}' has {len(problems)} {'problem' if len(problems) == 1 else 'problems'}. "
            "Copy it again, or run its build command again."
        )
    if not as_json:
        tell(f"'{dataset}' is whole and fit for use: files, crops, sides, queries, balance, captions, decisions.")


def print_counts(name: str, protocol: str, counts: dict) -> None:
    """Two lines: what the dataset holds, and how it is divided."""
    tell(
        f"{name} ({protocol}): {counts['identities']} identities, {counts['tracklets']} tracklets "
        f"({counts['junk']} junk), {counts['cameras']} cameras, {counts['events']} events, {counts['crops']} crops"
    )
    tell(
        f"train: {counts['train_identities']} identities, {counts['train_tracklets']} tracklets; "
        f"test: {counts['test_identities']} identities, {counts['query']} queries, {counts['gallery']} in the gallery"
    )


def print_doubts(doubtful: list[dict]) -> None:
    """The identities that the build is least sure of; nothing where it is sure of all."""

    def twin(row: dict) -> str:
        return "" if row["twin"] is None else f"{row['twin']} ({row['same']:.2f})"

    rows = [(str(r["identity"]), r["event"], f"{r['pure']:.2f}", f"{r['whole']:.2f}", twin(r)) for r in doubtful]
    if rows:
        right = ("pure", "whole", "or one with")
        show(("identity", "event", *right), rows, title="least sure identities: look at these first", right=right)


def print_review(review: dict | None) -> None:
    """How far the review has come; nothing where nobody decided anything."""
    if review is None:
        return
    parts = [f"{name} {number}" for name, number in review["by"].items()]
    parts += [f"{review[key]} {key.replace('_', ' ')}" for key in ("undone", "by_machine") if review[key]]
    tell(
        f"Review: {review['decisions']} decisions count ({', '.join(parts)}); confirmed are "
        f"{review['identities_confirmed']} identities, {review['tracklets_confirmed']:.0%} of the tracklets."
    )


def print_rights(rights: dict | None) -> None:
    """How many people each consent and each licence holds for; nothing where nobody said."""
    for what, numbers in (rights or {}).items():
        tell(f"{what.capitalize()}: {', '.join(f'{number} {name}' for name, number in numbers.items())}")


SCORES = (
    ("detection", ("recall", "detection_recall"), ("precision", "detection_precision")),
    ("final identities", ("mIDF1", "midf1"), ("IDF1", "idf1"), ("HOTA", "hota")),
    ("people kept", ("recall", "people_kept"), ("precision", "people_kept_precision"), ("of seconds", "seconds_kept")),
    ("raw tracklets", ("raw IDF1", "raw_idf1"), ("raw HOTA", "raw_hota"), ("purity", "tracklet_purity")),
    ("links across cameras", ("precision", "link_precision"), ("recall", "link_recall")),
    ("all pairs", ("precision", "pair_precision"), ("recall", "pair_recall")),
    ("B-cubed", ("precision", "bcubed_precision"), ("recall", "bcubed_recall")),
)
BY_SOURCE = (("IDF1", "idf1"), ("HOTA", "hota"), ("people kept", "people_kept"), ("precision", "people_kept_precision"))


def print_scores(scores: dict | None) -> None:
    """The build's scores against ground truth; nothing where there is none."""
    if not scores:
        return
    tell("Against ground truth:")
    for title, *values in SCORES:
        if values[0][1] not in scores:  # annotated boxes are not scored against themselves
            continue
        texts = [f"{label} {'-' if scores[key] is None else format(scores[key], '.3f')}" for label, key in values]
        tell(f"  {title}: {', '.join(texts)}")
    tell(f"  identities: {scores['identities']} found, {scores['true_identities']} true")
