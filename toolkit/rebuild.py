"""A build over an earlier one of the same folder: its review's decisions hold, and whoever tests goes on testing.

    before = earlier(folder, works, settings)       # folder: `folder.invalidate`
    proposals = propose(…, reviewed=before.reviewed)
    shown = before.shown(proposals)                 # new tracklet -> which of the earlier ones it shows
    kept, numbers = before.kept(…), before.numbers(…)
    notes = write_carried(out, folder, before.reviewed, tracklets, frames, shown)

A first build has nothing before it, and each of these then says so.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl

from ..datasets.captions import open_captions
from ..datasets.files import write_atomic
from ..datasets.format import CAPTIONS, DECISIONS, MANIFEST
from ..datasets.manifest import Division, read_manifest
from ..datasets.text import printable
from .events import Proposals
from .folder import FORMER, WORK
from .pieces import SourceWork
from .rejoin import TrackRows
from .review.carry import carry
from .review.constraints import Reviewed, Shown
from .review.former import Former, crops_of, read_former
from .review.lies import lies_on, same_footage
from .split import Kept, SplitSettings, kept_parts

MOST_NAMED = 8  # decisions that could not be carried, in a note


def division_before(out: Path) -> Division:
    """How the build in a folder was divided, which goes on where nothing else is asked for.

    Raises:
        UsageError: its manifest can't be read.
    """
    for folder in (out, out / WORK / FORMER):
        if (folder / MANIFEST).is_file():
            split = read_manifest(folder).split or Division()
            return split if split.by == "identity" else replace(split, by="")  # by event as soon as it can be
    return Division()


def earlier(folder: Path | None, works: Sequence[SourceWork], settings: SplitSettings) -> "Before | NothingBefore":
    """The earlier build in a folder beside the takes of a new one."""
    former = None if folder is None else read_former(folder)
    return NothingBefore() if former is None else Before(former, works, settings)


class NothingBefore:
    """A first build."""

    reviewed = None

    def shown(self, proposals: Iterable[Proposals]) -> dict[str, Shown]:
        return {}

    def numbers(self, table: pl.DataFrame, shown: Mapping[str, Shown]) -> dict[tuple[str, int], int]:
        return {}

    def kept(self, tracklets: pl.DataFrame, shown: Mapping[str, Shown]) -> Kept:
        return Kept()


class Before:
    """An earlier build beside a new one's takes.

    Attributes:
        reviewed: what people decided about it; None where nobody decided anything.
    """

    def __init__(self, former: Former, works: Sequence[SourceWork], settings: SplitSettings) -> None:
        self.former, self._settings = former, settings
        sources = {work.take.source.key: work.take for work in works}
        self._places = same_footage(former.manifest.sources, {key: take.sha256 for key, take in sources.items()})
        self._events = {key: take.source.event for key, take in sources.items()}
        by_people = "identity" in (settings.by, former.manifest.split.by if former.manifest.split else "")
        self._followed = bool(former.decisions) or by_people
        tracks = {work.take.source.key: work.extracted.tracks for work in works}
        self.reviewed = self._beside(tracks) if former.decisions else None

    def _beside(self, tracks: Mapping[str, pl.DataFrame]) -> Reviewed:
        lying = {
            key: lies_on(tracks[key], crops_of(self.former, place))
            for key, place in self._places.items()
            if key in tracks
        }
        return Reviewed(self.former, lying)

    def shown(self, proposals: Iterable[Proposals]) -> dict[str, Shown]:
        """New tracklet -> which of the earlier build's it shows; empty where nobody needs to know."""
        if not self._followed:
            return {}
        found: dict[str, Shown] = {}
        for one in proposals:
            beside = self._beside(one.tracks)
            rows_of = {key: TrackRows(table) for key, table in one.tracks.items()}
            for id_, source, local, start, end in one.tracklets.select(
                "id", "source", "local", "start", "end"
            ).iter_rows():
                found[id_] = beside.shown(source, rows_of[source].between(int(local), start, end))
        return found

    def numbers(self, table: pl.DataFrame, shown: Mapping[str, Shown]) -> dict[tuple[str, int], int]:
        """(event, cluster) -> the identity that it mostly was, each identity once; those that are new are left out.

        Args:
            table: columns id, event, cluster.
        """
        if self.reviewed is None:
            return {}
        crops: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        for id_, event, cluster in table.select("id", "event", "cluster").iter_rows():
            if cluster >= 0:
                crops[event, cluster].update(self._identities(shown.get(id_, Shown())))
        pairs = sorted((-count, who, place) for place, people in crops.items() for who, count in people.items())
        found: dict[tuple[str, int], int] = {}
        for _, who, place in pairs:
            if place not in found and who not in found.values():
                found[place] = who
        return found

    def _identities(self, shown: Shown) -> Counter[int]:
        people: Counter[int] = Counter()
        for id_, count in shown.items():
            if (who := self.former.person(id_)) is not None:
                people[who] += count
        return people

    def kept(self, tracklets: pl.DataFrame, shown: Mapping[str, Shown]) -> Kept:
        """The parts of the earlier division, of the new build's events and identities.

        Args:
            tracklets: columns id, identity, kind.
        """
        folds = self.former.manifest.split.folds if self.former.manifest.split else None
        old = kept_parts(self.former.tracklets, folds, self._settings)
        events: dict[str, int] = {}
        for key, event in self._events.items():
            names = [event, *([self._places[key][0]] if key in self._places else [])]
            parts = [old.events[name] for name in names if name in old.events]
            if parts:  # footage that tested tests under a new name, too
                events[event] = min([*parts, *([events[event]] if event in events else [])])
        people: dict[int, int] = {}
        for id_, identity in tracklets.filter(kind="person").select("id", "identity").iter_rows():
            for who in self._identities(shown.get(id_, Shown())):
                if who in old.people:
                    people[identity] = min(old.people[who], people.get(identity, old.people[who]))
        return Kept(events, people)


def write_carried(
    out: Path,
    folder: Path | None,
    reviewed: Reviewed | None,
    tracklets: pl.DataFrame,
    frames: pl.DataFrame,
    shown: Mapping[str, Shown],
) -> list[str]:
    """Writes the earlier build's decisions and captions under the new tracklets' names; the files as they were stay in
    `.work/reviewed`, as decisions.N.jsonl and captions.N.jsonl.

    Args:
        folder: of the earlier build; None: there was none.

    Returns:
        Sentences for the manifest.
    """
    if folder is None or reviewed is None or folder == out:
        return []
    found = carry(reviewed, tracklets, frames, shown)
    archive = _archive(out, folder / DECISIONS)
    write_atomic(out / DECISIONS, b"".join(msgspec.json.encode(one) + b"\n" for one in found.decisions))
    notes = [f"{found.held} review decisions on the build before hold; '{archive}' has them as they were made."]
    if found.lost:
        few = " ".join(printable(one[:1].upper() + one[1:]) for one in found.lost[:MOST_NAMED])
        more = f" And {len(found.lost) - MOST_NAMED} more." if len(found.lost) > MOST_NAMED else ""
        notes.append(f"{len(found.lost)} review decisions could not be carried over in full. {few}{more}")
    if (folder / CAPTIONS).is_file():
        best: dict[str, tuple[int, str]] = {}
        for id_, some in shown.items():
            for old, count in some.items():
                best[old] = max(best.get(old, (0, "")), (count, id_))
        archive = _archive(out, folder / CAPTIONS)
        write_atomic(out / CAPTIONS, (folder / CAPTIONS).read_bytes())
        with open_captions(out) as file:
            gone = file.rename({old: id_ for old, (_, id_) in best.items()})
        if gone:
            notes.append(f"{gone} captions are of tracklets that this build doesn't have; '{archive}' keeps them.")
    return notes


def _archive(out: Path, path: Path) -> str:
    """Copies a file to its name with the next free number; a copy that is there already does."""
    data, number = path.read_bytes(), 1
    home = out / WORK / "reviewed"
    while (copy := home / f"{path.stem}.{number}{path.suffix}").exists() and copy.read_bytes() != data:
        number += 1
    write_atomic(copy, data)
    return copy.relative_to(out).as_posix()
