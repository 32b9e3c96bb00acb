"""A dataset's card as one HTML file: what it holds, how it was built, who may use it, and what its makers still owe.

    Path("card.html").write_text(card_page(Path("dancers")))

`reidkit inspect DIR --html FILE` writes it. Styles, plots and pictures are inside; the page fetches nothing and runs no
script. Everything that comes from a file is escaped.
"""

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from ...datasets.own import reviewed_tables
from ..manifest import summary
from ..sheets import write_sheets
from .datasheet import QUESTIONS, read_datasheet
from .difficulty import difficulty

BINS = 24
WIDTH, HEIGHT, BASE = 320, 120, 100  # of a plot, in its own units; BASE is where the bars stand
MOST_ROWS = 400  # identities in the table of cameras
SIDES = ("train", "test")


@dataclass(frozen=True)
class Plot:
    """A histogram.

    Attributes:
        bars: x, width and height of each in the plot's units, and a text of its range and number.
        low, middle, high: least, median and greatest value, written out.
    """

    title: str
    bars: tuple[tuple[float, float, float, str], ...]
    low: str
    middle: str
    high: str


def card_page(root: Path) -> str:
    """The card of the dataset in folder `root`.

    Raises:
        UsageError: no dataset of ours, a damaged one, or a datasheet.toml that can't be read.
    """
    facts, (table, crops) = summary(root), reviewed_tables(root)
    sheet = read_datasheet(root)
    people = table.filter(kind="person")
    plots = []
    for side in SIDES:
        part = people.filter(split=side)
        if len(part):
            plots.append(histogram(f"Crops a tracklet, {side}", part["frames"].to_list()))
    for title, name, source in (
        ("Quality of a tracklet", "quality", people),
        ("Confidence of an identity", "confidence", people),
        ("Height of a crop in pixels", "height", crops.with_columns(height=crops["y2"] - crops["y1"])),
        ("Share of a crop that is covered", "occlusion", crops),
    ):
        values = source[name].drop_nulls().to_list()
        if values:
            plots.append(histogram(title, values))
    cameras = facts["camera_names"]
    sides = dict(people.select("identity", "split").iter_rows())
    seen = list(facts["by_identity"].items())
    rows = [(name, sides[int(name)], [here.get(c, 0) for c in cameras]) for name, here in seen[:MOST_ROWS]]
    most = max((max(numbers) for _, _, numbers in rows), default=1)
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
        Path(__file__).with_name("card.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        facts=facts,
        answers=[(QUESTIONS[key], _words(getattr(sheet, key)), key) for key in QUESTIONS],
        plots=plots,
        cameras=cameras,
        rows=rows,
        left_out=len(seen) - len(rows),
        most=most,
        difficulty=difficulty(root),
        sheet=_sheet(root, table, crops),
        size=(WIDTH, HEIGHT, BASE),
    )


def histogram(title: str, values: Sequence[float]) -> Plot:
    """Values in `BINS` bars at most, from the least to the greatest."""
    data = np.asarray(values, float)
    distinct = len(np.unique(data))
    numbers, edges = np.histogram(data, bins=max(1, min(BINS, distinct)))
    step = WIDTH / len(numbers)
    tallest = max(int(numbers.max()), 1)
    bars = [
        (round(i * step, 2), round(step - 1, 2), round(BASE * n / tallest, 2), f"{low:.4g} to {high:.4g}: {n}")
        for i, (n, low, high) in enumerate(zip(numbers.tolist(), edges[:-1], edges[1:], strict=True))
    ]
    low, middle, high = (f"{value:.4g}" for value in (data.min(), np.median(data), data.max()))
    return Plot(title, tuple(bars), low, middle, high)


def _words(answer: str | tuple[str, ...]) -> str:
    return answer if isinstance(answer, str) else ", ".join(answer)


def _sheet(root: Path, table, crops) -> str:
    """The first page of the contact sheet, JPEG in base64."""
    with tempfile.TemporaryDirectory() as folder:
        pages = write_sheets(root, Path(folder) / "sheet.jpg", table, crops)
        return base64.b64encode(pages[0].read_bytes()).decode()
