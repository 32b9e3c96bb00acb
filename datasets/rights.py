"""Who agreed to what: consent and licence of an event, or of one identity in it.

    rights = read_rights(root, manifest)                         # the manifest's, and above them rights.toml
    standing = rights.standings(proposed, reviewed)              # (event, identity) -> Standing(consent, licence)

A build takes them from reidkit.toml into dataset.json; `rights.toml` in the dataset's folder says more, or otherwise,
key by key, without a build. A key is EVENT, or EVENT/IDENTITY with the identity's number:

    [consent]                   # given, refused, or unknown, which is what nobody spoke of
    final = "given"
    "final/7" = "refused"
    [licence]                   # a URL, an SPDX name, or words
    final = "CC-BY-NC-4.0"
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from msgspec import Meta

from .errors import UsageError
from .format import origin_of
from .schema import read_toml
from .text import printable

RIGHTS = "rights.toml"
FIX = "Mend that line, or take the file away."

Consent = Literal["given", "unknown", "refused"]
STRICTEST: tuple[Consent, ...] = ("refused", "unknown", "given")
Licence = Annotated[str, Meta(min_length=1, max_length=500)]


@dataclass(frozen=True)
class Standing:
    """What holds for one identity; the licence is "" where nothing is said."""

    consent: Consent = "unknown"
    licence: str = ""


@dataclass(frozen=True)
class Rights:
    """What is said, by EVENT or EVENT/IDENTITY."""

    consent: dict[str, Consent] = field(default_factory=dict)
    licence: dict[str, Licence] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.consent or self.licence)

    def above(self, other: "Rights") -> "Rights":
        """These, and what `other` says of keys that these say nothing of."""
        return Rights(other.consent | self.consent, other.licence | self.licence)

    def only(self, keep: Iterable[str]) -> "Rights":
        """What is said of these keys."""
        kept = set(keep)
        return Rights(
            {key: value for key, value in self.consent.items() if key in kept},
            {key: value for key, value in self.licence.items() if key in kept},
        )

    @property
    def keys(self) -> list[str]:
        """Every key once, sorted."""
        return sorted({*self.consent, *self.licence})

    def unknown(self, events: Iterable[str], identities: Iterable[tuple[str, int]] | None = None) -> list[str]:
        """The keys that name no event and no identity; without `identities`, any number passes for one."""
        there, people = set(events), None if identities is None else {place(*one) for one in identities}
        return [key for key in self.keys if key not in there and not _names(key, there, people)]

    def standings(self, proposed: pl.DataFrame, reviewed: pl.DataFrame) -> dict[tuple[str, int], Standing]:
        """(event, identity) -> what holds for it, of everybody in the reviewed table.

        What is said of an identity goes before what is said of its event. Where a review joined two, the stricter
        consent and both licences hold; a number that only the review made, as by a split, decides alone where it is
        spoken of, else the numbers that its tracklets were proposed under.

        Args:
            proposed, reviewed: columns of `format.TRACKLET_SCHEMA`, before and after the review's decisions.
        """
        before = {id_: number for id_, number, kind in _people(proposed) if kind == "person"}
        numbers: dict[tuple[str, int], set[int]] = {}
        for id_, event, identity in reviewed.filter(kind="person").select("id", "event", "identity").iter_rows():
            origin = origin_of(id_, before)
            numbers.setdefault((event, identity), set()).update({before[origin]} if origin in before else ())
        made = {identity for _, identity in numbers} - set(before.values())
        return {
            (event, identity): self._standing(event, identity, origins, alone=identity in made)
            for (event, identity), origins in sorted(numbers.items())
        }

    def of_nobody(self, event: str, standings: Mapping[tuple[str, int], Standing]) -> Standing:
        """What holds for junk and distractors of an event: the strictest of its people's, as they may show anybody."""
        of_people: list[Consent] = [one.consent for (where, _), one in standings.items() if where == event]
        unsaid: Consent = "given" if of_people else "unknown"  # then its people alone decide
        of_people.append(self.consent.get(event, unsaid))
        consent = _strictest(of_people)
        return Standing(consent, self.licence.get(event, ""))

    def _standing(self, event: str, identity: int, origins: set[int], *, alone: bool) -> Standing:
        own = place(event, identity)
        others = [] if alone and own in self.keys else [place(event, n) for n in sorted(origins)]
        keys = dict.fromkeys((own, *others))
        said: list[Consent] = [self.consent[key] for key in keys if key in self.consent]
        licences = dict.fromkeys(self.licence[key] for key in keys if key in self.licence)
        consent: Consent = _strictest(said) if said else self.consent.get(event, "unknown")
        return Standing(consent, " and ".join(licences) or self.licence.get(event, ""))


def place(event: str, identity: int) -> str:
    """The key of an identity."""
    return f"{event}/{identity}"


def read_rights(root: Path, of_build: Rights) -> Rights:
    """What the dataset's folder says, and below it what its build was told.

    Raises:
        UsageError: rights.toml can't be read, or holds something else.
    """
    path = root / RIGHTS
    return read_toml(path, Rights, FIX).above(of_build) if path.exists() else of_build


def counted(standings: Iterable[Standing]) -> dict[str, dict[str, int]]:
    """How many people each consent and each licence holds for."""
    listed = list(standings)
    consents = Counter(one.consent for one in listed)
    licences = Counter(one.licence or "not said" for one in listed)
    by_consent = {name: consents[name] for name in reversed(STRICTEST) if consents[name]}
    return {"consent": by_consent, "licence": dict(licences)}


def refuse_unknown(rights: Rights, tables: Iterable[pl.DataFrame], where: str) -> None:
    """Raises UsageError where a key names nobody of the tables: a mistyped refusal must not pass for none."""
    both = pl.concat([table.select("event", "identity", "kind") for table in tables])
    people = both.filter(kind="person").select("event", "identity").unique().iter_rows()
    wrong = rights.unknown(both["event"].unique().to_list(), people)
    if wrong:
        raise UsageError(
            f"Consent or licence of '{printable(wrong[0])}' ({where}) is of nobody here. A key is EVENT or "
            "EVENT/IDENTITY, with a number that `reidkit inspect` lists. Mend it in rights.toml or reidkit.toml."
        )


def _names(key: str, events: set[str], people: set[str] | None) -> bool:
    event, _, number = key.rpartition("/")
    return event in events and number.isascii() and number.isdecimal() and (people is None or key in people)


def _strictest(consents: Iterable[Consent]) -> Consent:
    there = set(consents)
    return next(consent for consent in STRICTEST if consent in there)


def _people(table: pl.DataFrame) -> Iterable[tuple[str, int, str]]:
    return table.select("id", "identity", "kind").iter_rows()
