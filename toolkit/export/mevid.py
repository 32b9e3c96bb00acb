"""MEVID's layout (Davila et al., WACV 2023): as MARS, with outfits, longer tracklets, more cameras, tables as text.

    bbox_train/0001/0001O001C001T001F00001.jpg     person, outfit, camera, tracklet, frame
    train_name.txt                                 the names in order
    track_train_info.txt                           a row a tracklet: first and last name (from 0, inclusive), person,
                                                   outfit, camera
    query_IDX.txt                                  the queries: rows of track_test_info.txt, from 0

An outfit has its number among the names of all; where the dataset knows none, it is the event: what a person wears in
one match or rehearsal. MEVID knows no junk, so junk is left out; every protocol that knows it ignores it, too.
Distractors have person 0. MEVID's gallery is the test set without the queries.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from .content import Content, Item, numbered, over, read_crops

CAMERAS, OUTFITS, PEOPLE, TRACKLETS, FRAMES = 999, 999, 9999, 999, 99999


def items(content: Content, *roles: str) -> tuple[Item, ...]:
    """What MEVID can say of the dataset: all but junk."""
    return tuple(item for item in content.part(*roles) if item.kind != "junk")


def fault(content: Content) -> str:
    """Why MEVID's names can't hold the dataset; "" where they can."""
    worn = content.outfits
    what_is_worn = ("outfits", worn) if worn else ("events", content.events)
    for what, names, most in (("cameras", content.cameras, CAMERAS), (*what_is_worn, OUTFITS)):
        if len(names) > most:
            return f"there are {len(names)} {what}, and a name of MEVID holds {most}"
    every = items(content, "train", "query", "gallery")
    bare = next((item for item in every if worn and item.person and not item.outfit), None)
    if bare is not None:
        return f"tracklet '{bare.id}' has no outfit where others have one, and MEVID has one for each"
    return over(content, "a name of MEVID", every, people=PEOPLE, tracklets=TRACKLETS, frames=FRAMES)


def write(content: Content, out: Path, advance: Callable[[int], None]) -> None:
    """Writes the layout into the folder `out`; `advance` is told of each tracklet's crops."""
    outfit_of = {name: number for number, name in enumerate(content.outfits, start=1)}
    for split, roles in (("train", ("train",)), ("test", ("query", "gallery"))):
        names: list[str] = []
        rows: list[tuple[int, ...]] = []
        queries: list[int] = []
        (out / f"bbox_{split}").mkdir()
        for item, number in numbered(items(content, *roles)):
            folder = out / f"bbox_{split}" / f"{item.pid:04d}"
            folder.mkdir(exist_ok=True)
            outfit = outfit_of.get(item.outfit, 0) if outfit_of else item.event + 1  # 0: a distractor's, if not known
            start = f"{item.pid:04d}O{outfit:03d}C{item.camera + 1:03d}T{number:03d}"
            first = len(names)
            for place, (_, data) in enumerate(read_crops(content, item), start=1):
                names.append(f"{start}F{place:05d}.jpg")
                (folder / names[-1]).write_bytes(data)
            if item.role == "query":
                queries.append(len(rows))
            rows.append((first, len(names) - 1, item.pid, outfit, item.camera + 1))
            advance(len(item.rows))
        (out / f"{split}_name.txt").write_text("".join(f"{name}\n" for name in names), encoding="ascii")
        _write_table(out / f"track_{split}_info.txt", rows)
        if split == "test":
            _write_table(out / "query_IDX.txt", [(query,) for query in queries])


def _write_table(path: Path, rows: Iterable[tuple[int, ...]]) -> None:
    """Whole numbers written as floats, as in the authors' files (`numpy.savetxt`)."""
    path.write_text("".join(" ".join(f"{value:.18e}" for value in row) + "\n" for row in rows), encoding="ascii")
