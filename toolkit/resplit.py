"""`reidkit split DIR`: a finished dataset divided again, without a build.

    found = split_dataset(Path("matches"), Wish(folds=5))
    found.manifest["split"], found.moved

It divides the people whom the review says there are, and writes the sides into tracklets.parquet and the manifest. The
manifest is set aside meanwhile: a dataset whose division was stopped is none until the same command is run again.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ..datasets.decisions import open_decisions, read_decisions
from ..datasets.errors import UsageError, choices
from ..datasets.files import atomic_path, sha256_file, sync_folder, write_json
from ..datasets.format import ASIDE, FOLD, MANIFEST, TRACKLET_COLUMNS, TRACKLETS
from ..datasets.manifest import FIX, Division, Manifest, SamePerson, as_manifest, read_manifest
from ..datasets.own import frame_table, read_tables, tracklet_table
from ..datasets.replay import replay
from ..datasets.schema import read_json
from ..datasets.sides import with_roles
from .manifest import counts
from .split import TEST, By, Divided, Kept, SplitSettings, assign, division_facts, kept_parts, split_notes


@dataclass(frozen=True)
class Wish:
    """How a dataset is to be divided; what is None stays as it was.

    Attributes:
        by, test_share, folds, validation, seed: see `SplitSettings`; a `test_share` ends folds.
        keep: whoever tests goes on testing, and with the same number of folds nobody leaves theirs.
        test: events that shall test.
    """

    by: By | None = None
    test_share: float | None = None
    folds: int | None = None
    validation: float | None = None
    seed: int | None = None
    keep: bool = False
    test: tuple[str, ...] = ()

    def settings(self, before: Division) -> SplitSettings:
        """The settings, with those of the division before where nothing is wished."""
        by = self.by or before.by or "auto"
        if self.by is None and by == "test" and (self.test_share or self.folds or self.test):
            by = "auto"
        given = {
            "test_share": self.test_share if before.folds or self.test_share else before.test_share,
            "folds": self.folds if self.test_share or self.folds or by == "test" else before.folds,
            "validation": before.validation if self.validation is None else self.validation,
            "seed": before.seed if self.seed is None else self.seed,
        }
        return SplitSettings(by=by, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Resplit:
    """What a division came to.

    Attributes:
        table: the reviewed tracklets with their sides.
        moved: identities that tested and now train.
    """

    manifest: dict[str, Any]
    table: pl.DataFrame
    moved: list[int]


def split_dataset(root: Path, wish: Wish) -> Resplit:
    """Divides the dataset `root` again.

    Raises:
        UsageError: no dataset of ours, an event that isn't there, wishes that contradict each other, too few events or
            people, or somebody is reviewing it.
        ReidkitError: a person would be on both sides, or it can't be written.
    """
    aside = root / ASIDE
    if not aside.is_file():
        read_manifest(root)  # a folder that is no dataset gets no lock
    with open_decisions(root):
        if aside.is_file() and not (root / MANIFEST).exists():
            os.replace(aside, root / MANIFEST)
        manifest = read_manifest(root)
        proposed, frames = tracklet_table(root), frame_table(root)
        reviewed, pieces = replay(proposed, frames, read_decisions(root))
        settings = wish.settings(manifest.split or Division())
        origin = dict(zip(pieces["tracklet"].to_list(), frames["tracklet"].to_list(), strict=True))
        divided = _divide(reviewed, origin, manifest, wish, settings)
        content = _write(root, aside, proposed, divided, origin, manifest, settings)
    before = dict(reviewed.filter(kind="person").select("identity", "split").iter_rows())
    now = dict(divided.table.filter(kind="person").select("identity", "split").iter_rows())
    moved = sorted(one for one, side in now.items() if side == "train" and before[one] == "test")
    return Resplit(content, divided.table, moved)


def _divide(
    reviewed: pl.DataFrame, origin: dict[str, str], manifest: Manifest, wish: Wish, settings: SplitSettings
) -> Divided:
    events = set(reviewed["event"].to_list())
    for event in wish.test:
        if event not in events:
            raise UsageError(choices(event, sorted(events), "event"))
    if wish.test and (settings.by == "identity" or settings.folds):
        raise UsageError(
            "Events can test where one division goes by event; leave --test, --folds or --by identity out."
        )
    folds = manifest.split.folds if manifest.split else None
    kept = kept_parts(reviewed, folds, settings, train=False) if wish.keep else Kept()
    kept = Kept({**kept.events, **dict.fromkeys(wish.test, TEST)}, kept.people)
    parts = pl.Series([origin[id_] for id_ in reviewed["id"].to_list()], dtype=pl.String)
    # A tracklet that the review cut stands in one row of the proposals: its people go to one side.
    tied = reviewed.with_columns(origin=parts).filter(kind="person").group_by("origin").agg(pl.col("identity").unique())
    ties = [
        SamePerson((one, other), ("", ""), 1.0)
        for one, *others in tied["identity"].list.sort().to_list()
        for other in others
    ]
    return assign(
        reviewed.with_columns(source=pl.col("event") + "/" + pl.col("camera")),
        settings,
        [*manifest.same_person, *(ties if settings.by == "identity" else [])],
        kept=kept,
        activities={source.event: source.activity for source in manifest.sources},
    )


def _write(
    root: Path,
    aside: Path,
    proposed: pl.DataFrame,
    divided: Divided,
    origin: dict[str, str],
    manifest: Manifest,
    settings: SplitSettings,
) -> dict[str, Any]:
    """Writes the sides; returns the manifest's content."""
    content = read_json(root / MANIFEST, dict[str, Any], FIX)
    columns = [pl.col("split").min(), *([pl.col(FOLD).min()] if FOLD in divided.table.columns else [])]
    own = pl.Series([origin[id_] for id_ in divided.table["id"].to_list()], dtype=pl.String)
    sides = divided.table.with_columns(own.alias("id")).group_by("id").agg(columns)
    bare = proposed.drop("split", "role", *([FOLD] if FOLD in proposed.columns else []))
    table = with_roles(bare.join(sides, on="id", how="left", maintain_order="left"))
    table = table.select(*TRACKLET_COLUMNS, pl.exclude(*TRACKLET_COLUMNS))
    old = Divided(proposed, manifest.split.by if manifest.split else "")  # type: ignore[arg-type]
    outdated = set(split_notes(old, manifest.same_person))

    os.replace(root / MANIFEST, aside)
    sync_folder(root)
    with atomic_path(root / TRACKLETS) as temporary:
        table.write_parquet(temporary, compression="zstd")
    content |= {
        "split": division_facts(divided, settings),
        "counts": content.get("counts", {}) | counts(table),
        "files": content.get("files", {}) | {TRACKLETS: sha256_file(root / TRACKLETS)},
        "notes": [
            *(note for note in content.get("notes", []) if note not in outdated),
            *split_notes(divided, manifest.same_person),
        ],
    }
    content["fingerprint"] = read_tables(root, as_manifest(content, root)).fingerprint
    write_json(root / MANIFEST, content)
    aside.unlink()
    return content
