"""`datasheet.toml` in a dataset's folder: what only its makers know, and what is asked for where they haven't said.

    sheet = read_datasheet(Path("dancers"))
    sheet.licence, sheet.missing()

The questions follow Gebru et al., "Datasheets for Datasets" (CACM 2021), and Croissant's responsible-AI fields; what
the build knows (with which models it was made, what was lost) is not asked.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ...datasets.schema import read_toml

DATASHEET = "datasheet.toml"
Words = Annotated[str, Meta(max_length=20_000)]


class Datasheet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answers; "" where nothing was said.

    Attributes:
        licence: a URL, as those of spdx.org/licenses, or the licence's name.
        url: the dataset's web page.
        published: the day, as 2026-11-24.
        cite: a citation, BibTeX if possible.
    """

    description: Words = ""
    purpose: Words = ""
    creators: tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...] = ()
    licence: Words = ""
    url: Annotated[str, Meta(pattern="^(https?://.+)?$", max_length=2000)] = ""
    version: Annotated[str, Meta(pattern=r"^\d+(\.\d+){0,2}$")] = "1.0.0"
    published: Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    cite: Words = ""
    collection: Words = ""
    consent: Words = ""
    biases: Words = ""
    impact: Words = ""
    maintenance: Words = ""

    def missing(self) -> dict[str, str]:
        """Key -> the question, of each that has no answer."""
        return {key: question for key, question in QUESTIONS.items() if not getattr(self, key)}


QUESTIONS = {
    "description": "What does the dataset show, in two or three sentences?",
    "purpose": "For what was it made, and by whom was that paid?",
    "creators": "Who made it?",
    "licence": "Under which licence may it be used, and what does that not allow?",
    "url": "Where is its web page?",
    "published": "On which day was it published?",
    "cite": "How is it to be cited?",
    "collection": "Where, when and with which cameras was it filmed?",
    "consent": "Did the people in it agree, to what, and how can they withdraw?",
    "biases": "Whom does it show too seldom or too often: sports, ages, skin tones, kits, places?",
    "impact": "Whom could its use harm, and what was done against that?",
    "maintenance": "Who keeps it, and how are mistakes and withdrawals handled?",
}


def read_datasheet(root: Path) -> Datasheet:
    """The answers in the dataset folder `root`; none where there is no file.

    Raises:
        UsageError: the file can't be read, has an unknown key, or a value that doesn't fit.
    """
    path = root / DATASHEET
    fix = f"Its keys are {', '.join(Datasheet.__struct_fields__)}; mend it, or take it away."
    return read_toml(path, Datasheet, fix) if path.exists() else Datasheet()
