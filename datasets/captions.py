"""`captions.jsonl`, one line a caption: its one reader and its one writer.

    for caption in read_captions(root): ...
    with open_captions(root) as file:                     # no other process writes meanwhile
        file.append(Caption("cup-east-3", "red shoes, long hair", "template"))

Lines end at a line feed only (U+2028 and its like may stand inside a text), blank lines count for nothing, and keys
that `Caption` does not name are ignored, and kept when a line is written again.
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .files import append_durably, write_atomic
from .format import CAPTIONS
from .locks import exclusive
from .progress import say
from .schema import decode_json, read_bytes

LOCK = ".captions.lock"
FIX = "Mend that line by hand, or move the file away and caption again."
HEAD = b'{"tracklet": "'  # every line that reidkit writes begins so


@dataclass(frozen=True)
class Caption:
    """One caption of the person of one tracklet.

    Attributes:
        captioner: its kind, as on the command line; "" for a line written by hand that names none.
        model: as the server or the hub names it; "" where the captioner has none.
        prompt_sha256: of the prompt, the vocabulary, or the template's wording.
        doubts: why a person should look at it; empty for a caption that passed every check.
    """

    tracklet: str
    text: str
    captioner: str = ""
    model: str = ""
    prompt_sha256: str = ""
    doubts: tuple[str, ...] = ()


def read_captions(root: Path) -> list[Caption]:
    """All captions of the dataset folder `root`, in the file's order; none where there is no file.

    A last line without its line feed counts where it is whole. Where it is the beginning of a line of ours, a kill cut
    it: it is left out, and `open_captions` takes it away.

    Raises:
        UsageError: the file can't be read, or a line is no caption; the line is named.
    """
    return [caption for caption, _ in read_lines(root)]


def read_lines(root: Path) -> list[tuple[Caption, bytes]]:
    """As `read_captions`, each with the line that holds it, without the line feed."""
    return _read(root / CAPTIONS)


def texts_by_identity(captions: Iterable[Caption], identity_of: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    """Identity -> its different texts: first those without doubts, then the others, both in the order given.

    Args:
        identity_of: tracklet id -> identity; captions of other tracklets are left out.
    """
    sound: dict[int, dict[str, None]] = defaultdict(dict)
    doubtful: dict[int, dict[str, None]] = defaultdict(dict)
    for caption in captions:
        if caption.text and caption.tracklet in identity_of:
            (doubtful if caption.doubts else sound)[identity_of[caption.tracklet]].setdefault(caption.text)
    return {i: tuple({**sound[i], **doubtful[i]}) for i in sorted({*sound, *doubtful})}


def _read(path: Path) -> list[tuple[Caption, bytes]]:
    """Captions, and the lines that hold them, without the line feed."""
    if not path.exists():
        return []
    lines = read_bytes(path, FIX).split(b"\n")
    if _is_cut(lines[-1]):
        lines.pop()
    return [
        (decode_json(line, Caption, f"Line {number} of '{path}'", FIX), line)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _is_cut(line: bytes) -> bool:
    """Is what stands after the last line feed the beginning of one of our lines, and not the whole?"""
    if not line or not line.startswith(HEAD[: len(line)]):
        return False
    try:
        json.loads(line.decode(errors="replace"))  # what is no UTF-8 is not cut for that
    except (ValueError, RecursionError):
        return True
    return False


class CaptionFile:
    """The file while this process alone writes it; `open_captions` makes one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Caption]:
        """As `read_captions`."""
        return [caption for caption, _ in _read(self._path)]

    def append(self, caption: Caption) -> None:
        """Writes one line, and returns when it is durable.

        Raises:
            ReidkitError: it can't be written.
        """
        _append(self._path, _encode(asdict(caption)) + b"\n")

    def doubt(self, doubts_of: Callable[[Caption], tuple[str, ...]]) -> list[Caption]:
        """Gives every caption the doubts that `doubts_of` names for it; returns them all, in the file's order.

        Only lines whose doubts change are written anew; the file appears as a whole or not at all.
        """
        read = _read(self._path)
        captions = [replace(caption, doubts=doubts_of(caption)) for caption, _ in read]
        if captions != [caption for caption, _ in read]:
            lines = [
                line if new == old else _encode(json.loads(line) | {"doubts": new.doubts})
                for new, (old, line) in zip(captions, read, strict=True)
            ]
            write_atomic(self._path, b"".join(line + b"\n" for line in lines))
        return captions

    def rename(self, names: Mapping[str, str]) -> int:
        """Gives every caption the tracklet that `names` has for its own, and takes those away for which there is none.

        Returns:
            How many were taken away.
        """
        read = _read(self._path)
        rows = [json.loads(line) | {"tracklet": names[old.tracklet]} for old, line in read if old.tracklet in names]
        write_atomic(self._path, b"".join(_encode(row) + b"\n" for row in rows))
        return len(read) - len(rows)

    def reword(self, text_of: Callable[[Caption], str]) -> tuple[int, int]:
        """Gives every caption the text that `text_of` says, and takes those away of which none is left.

        Only lines whose text changes are written anew; the file appears as a whole or not at all.

        Returns:
            How many were reworded, and how many taken away.
        """
        read = [(caption, line, text_of(caption)) for caption, line in _read(self._path)]
        kept = [
            line if text == old.text else _encode(json.loads(line) | {"text": text}) for old, line, text in read if text
        ]
        gone, changed = len(read) - len(kept), sum(text not in ("", old.text) for old, _, text in read)
        if gone or changed:
            write_atomic(self._path, b"".join(line + b"\n" for line in kept))
        return changed, gone


@contextmanager
def open_captions(root: Path) -> Iterator[CaptionFile]:
    """The captions of the dataset folder `root`, for this process alone to write while the block runs.

    Raises:
        UsageError: another process writes captions of this dataset; or a line is no caption, and then the file stays
            as it is.
        ReidkitError: the folder can't be written.
    """
    busy = f"Another `reidkit caption` is at work on '{root}'. Wait until it is done, then run this one."
    with exclusive(root / LOCK, busy):
        read_captions(root)  # what is damaged is refused before anything is written
        _mend_end(root / CAPTIONS)
        yield CaptionFile(root / CAPTIONS)


def _mend_end(path: Path) -> None:
    """Makes the file end with a line feed: a whole last line gets one, one that a kill cut is taken away."""
    if not path.exists():
        return
    before, feed, rest = path.read_bytes().rpartition(b"\n")
    if _is_cut(rest):
        os.truncate(path, len(before) + len(feed))
        say(f"The last line of '{path}' was cut by a kill and is taken away; its tracklet will be asked about again.")
    elif rest:
        _append(path, b"\n")


def _append(path: Path, data: bytes) -> None:
    append_durably(path, data, "Free some space, or allow writing, and run the same command again.")


def _encode(row: dict) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace")  # a lone surrogate as JSON escapes it
