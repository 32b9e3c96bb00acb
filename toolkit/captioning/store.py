"""`captions.jsonl`: one line a caption, append-only, so that a killed run is continued and asks nothing twice."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from ...datasets import UsageError
from ...datasets.format import CAPTIONS


@dataclass(frozen=True)
class Caption:
    """One caption of one tracklet's person.

    Attributes:
        prompt_sha256: of the prompt, or of the template's wording; "" where a captioner has none.
        doubts: why a person should look at it; empty for a caption that passed every check.
    """

    tracklet: str
    text: str
    captioner: str
    model: str
    prompt_sha256: str
    doubts: tuple[str, ...] = field(default=())


def read_captions(dataset: Path) -> list[Caption]:
    """All captions of a dataset folder, in file order; none where there is no file.

    A last line without its newline was cut by a kill: it is left out, and `open_captions` cuts it off.

    Raises:
        UsageError: a whole line that is no caption.
    """
    path = dataset / CAPTIONS
    if not path.is_file():
        return []
    captions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            break
        try:
            row = json.loads(line)
            captions.append(Caption(**{**row, "doubts": tuple(row.get("doubts", ()))}))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"Line {number} of '{path}' is no caption ({error}). Delete the line or the file and caption again."
            ) from None
    return captions


@contextmanager
def open_captions(dataset: Path) -> Iterator[IO[bytes]]:
    """The file, ready to append whole lines to (`append`)."""
    path = dataset / CAPTIONS
    with open(path, "ab+") as file:
        file.seek(0)
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
        yield file


def encode(caption: Caption) -> bytes:
    """The line of a caption, newline included."""
    row = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(caption).items()}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def append(file: IO[bytes], caption: Caption) -> None:
    """Writes one line and makes it durable."""
    file.write(encode(caption))
    file.flush()
    os.fsync(file.fileno())
