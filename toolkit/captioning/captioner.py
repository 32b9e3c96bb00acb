"""What a captioner is: pictures of one person in, an answer or a failure out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image


@dataclass(frozen=True)
class Request:
    """One tracklet's pictures, RGB, in time order."""

    tracklet: str
    images: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Answer:
    """What came back for a request; `failure` says in words why nothing did."""

    tracklet: str
    text: str = ""
    failure: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


class Captioner(Protocol):
    """Attributes: kind (as on the command line), model (name, for the record), prompt_sha256."""

    kind: str
    model: str
    prompt_sha256: str

    def answers(self, requests: Iterator[Request], total: int) -> Iterator[Answer]:
        """One answer a request, in any order, as they come; requests are drawn no faster than they are worked on."""


def batches(requests: Iterator[Request], size: int) -> Iterator[Sequence[Request]]:
    """Lists of up to `size`."""
    batch: list[Request] = []
    for request in requests:
        batch.append(request)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
