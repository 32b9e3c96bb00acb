"""`reidkit export DIR -o OUT --format F`: a dataset of ours as another tool wants it.

    done = export(Path("dancers"), Path("dancers-mars"), "mars")
    done.counts, done.left_out

OUT appears whole or not at all. `export.json` in it says what it was made from, and the names behind the numbers.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ...datasets.errors import UsageError, choices
from ...datasets.files import sync_folder, write_atomic, write_json
from ...datasets.locks import exclusive
from ...datasets.own import reviewed_tables
from ...datasets.progress import progress
from ...datasets.text import printable
from ...datasets.withheld import Topic
from ..faces import FaceFinder, HeadCover
from . import cvat, market, mars, mevid, mot, parquet_images, webdataset
from .chosen import WANTED, Wanted, by_consent, rights_table, without_topics
from .content import Content, read_content

FACTS = "export.json"
RIGHTS = "rights.csv"


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        fault: the reason why it can't hold a dataset; "" where it can.
        write: writes the dataset into a folder, which is there and empty, and tells of every crop.
        nearest: the formats to look at where it can't hold one, the nearest first.
        junk, train_junk, captions, outfits: whether it holds junk of the test set, junk and distractors of the training
            set, captions, and what people wear.
    """

    fault: Callable[[Content], str]
    write: Callable[[Content, Path, Callable[[int], None]], None]
    nearest: tuple[str, ...]
    junk: bool = True
    train_junk: bool = True
    captions: bool = False
    outfits: bool = False


FORMATS = {
    "mars": Format(mars.fault, mars.write, ("mevid", "webdataset"), train_junk=False),
    "mevid": Format(mevid.fault, mevid.write, ("mars", "webdataset"), junk=False, train_junk=False, outfits=True),
    "market": Format(market.fault, market.write, ("mevid", "parquet-images"), train_junk=False),
    "mot": Format(mot.fault, mot.write, ("cvat", "webdataset")),
    "cvat": Format(cvat.fault, cvat.write, ("mot", "webdataset")),
    "webdataset": Format(webdataset.fault, webdataset.write, (), captions=True, outfits=True),
    "parquet-images": Format(parquet_images.fault, parquet_images.write, (), captions=True, outfits=True),
}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        counts: tracklets, identities and crops in OUT.
        left_out: what the format has no place for: name -> number; only what there is.
        withheld: what was left out for people's sake, likewise.
        faces: what `HeadCover.estimate` says where heads were covered.
    """

    format: str
    counts: dict[str, int]
    left_out: dict[str, int]
    withheld: dict[str, int]
    faces: dict[str, float | int | str] | None = None


def export(
    root: Path,
    out: Path,
    format: str,
    *,
    consent: Wanted = "not-refused",
    topics: Iterable[Topic] = (),
    blur_faces: bool = False,
    faces: Path | None = None,
) -> Exported:
    """Writes the dataset `root` into the new or empty folder `out`.

    Args:
        consent: whose tracklets go into it.
        topics: what captions are not to speak of.
        blur_faces: cover heads in the crops.
        faces: detector of faces or heads for that; None: by proportion.

    Raises:
        UsageError: no such format, no dataset of ours, something in `out`, another export to it at work, or a dataset
            that the format can't hold; the reason and the nearest format that can are named.
        ReidkitError: `out` can't be written.
    """
    if format not in FORMATS:
        raise UsageError(choices(format, FORMATS, "format"))
    chosen = FORMATS[format]
    _refuse_full(root, out)
    if consent not in WANTED:
        raise UsageError(choices(consent, WANTED, "consent"))
    content, withheld = by_consent(read_content(root), consent)
    content, phrases = without_topics(content, topics)
    if phrases and chosen.captions:
        withheld["phrases of captions"] = phrases
    if not content.items:
        raise UsageError(f"Nobody of '{root}' is left with --consent {consent}: nothing can be exported.")
    _refuse_unfit(content, format)
    cover = HeadCover(*reviewed_tables(root), finder=FaceFinder(faces) if faces else None) if blur_faces else None
    content = replace(content, cover=cover)
    held = [item for item in content.items if _held(chosen, item.kind, item.role)]
    done = Exported(
        format,
        {
            "tracklets": len(held),
            "identities": len({item.identity for item in held if item.person}),
            "crops": sum(len(item.rows) for item in held),
        },
        _left_out(content, chosen),
        withheld,
    )
    work = out.resolve().with_name(f".{out.resolve().name}.export")
    busy = f"Another export to '{out}' is at work. Wait for it, or choose another folder."
    with exclusive(work / "lock", busy):
        files = work / "files"
        shutil.rmtree(files, ignore_errors=True)  # of an export that was killed
        try:
            files.mkdir(parents=True)
            with progress(f"export {format}", total=done.counts["crops"], unit="crops") as advance:
                chosen.write(content, files, advance)
            done = replace(done, faces=cover.estimate() if cover else None)
            write_json(files / FACTS, _facts(content, done))
            if content.rights:
                write_atomic(files / RIGHTS, rights_table(content))
            _publish(files, out)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return done


def _refuse_full(root: Path, out: Path) -> None:
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise UsageError(f"The output '{out}' lies in the dataset '{root}'. Choose a folder beside it.")
    if out.is_dir():
        inside = next(out.iterdir(), None)
        if inside is not None:
            raise UsageError(f"'{out}' is not empty ('{inside.name}' is in it). Give a new or empty folder.")
    elif out.exists():
        raise UsageError(f"'{out}' is a file; give a new or empty folder.")


def _refuse_unfit(content: Content, format: str) -> None:
    reason = FORMATS[format].fault(content)
    if not reason:
        return
    order = dict.fromkeys((*FORMATS[format].nearest, *FORMATS))
    others = [name for name in order if name != format and not FORMATS[name].fault(content)]
    fix = f"The nearest format that can is {others[0]}: --format {others[0]}."  # webdataset holds everything
    raise UsageError(printable(f"'{content.root}' can't be written as {format}: {reason}. {fix}"))


def _held(format: Format, kind: str, role: str) -> bool:
    if role == "train" and kind != "person":
        return format.train_junk
    return kind != "junk" or format.junk


def _left_out(content: Content, format: Format) -> dict[str, int]:
    lost = [item for item in content.items if not _held(format, item.kind, item.role)]
    train = sum(item.role == "train" for item in lost)
    texts = 0 if format.captions else sum(len(t) for t in {i.identity: i.captions for i in content.items}.values())
    counts = {"training tracklets of nobody": train, "junk tracklets": len(lost) - train, "captions": texts}
    counts["outfits"] = 0 if format.outfits else len(content.outfits)
    return {name: number for name, number in counts.items() if number}


def _facts(content: Content, done: Exported) -> dict:
    return {
        "format": done.format,
        "name": content.manifest.name,
        "protocol": content.manifest.protocol,
        "fingerprint": content.fingerprint,
        "cameras": {str(number): name for number, name in enumerate(content.cameras, start=1)},
        "events": {str(number): name for number, name in enumerate(content.events, start=1)},
        "outfits": {str(number): name for number, name in enumerate(content.outfits, start=1)},
        "counts": done.counts,
        "left_out": done.left_out,
        "withheld": done.withheld,
        **({"faces": done.faces} if done.faces else {}),
    }


def _publish(files: Path, out: Path) -> None:
    """Renames the finished folder to `out`, after its bytes are on the disk.

    An export may be a million small files: one call for all of them is what the system does fastest.
    """
    if hasattr(os, "sync"):
        os.sync()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir():
        out.rmdir()  # empty, or `_refuse_full` had said so
    os.replace(files, out.resolve())
    sync_folder(out.resolve().parent)
