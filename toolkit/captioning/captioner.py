"""What a captioner is: pictures of one person in, an answer or a failure out."""

from collections.abc import Callable, Iterator
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
    """What writes captions.

    Attributes:
        kind: as on the command line.
        model: its name, for the record; "" where there is none.
        prompt_sha256: of the prompt, the vocabulary, or the template's wording.
    """

    kind: str
    model: str
    prompt_sha256: str

    def ask(self, requests: Iterator[Request], take: Callable[[Answer], None]) -> None:
        """Calls `take` with one answer a request, as they come, in any order.

        Requests are drawn no faster than they are worked on: their pictures are made when they are drawn.
        """
