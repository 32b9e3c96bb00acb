"""HTML of the report and of a search, whole in one file: styles, script and pictures inside, nothing fetched.

    html = report_page(gather(results))
    html = search_page(block, album, title="…", facts=[], notes=[])

Everything that comes from a file is escaped. The page forbids itself the network by its content security policy.
"""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from ..tables import Cell
from .crops import FRAMES, HEIGHT, WIDTH, Album
from .data import Page
from .lists import Block
from .reliability import Diagram

METRICS = ("mAP", "R1", "R5", "R10", "R20", "mINP")


def report_page(page: Page) -> str:
    """The report."""
    anchors = {id(run.result): run.anchor for run in page.runs}

    def link(cell: Cell) -> str:
        """Anchor of the newest result behind a figure; "" for a published one."""
        return anchors[id(max(cell.of, key=lambda r: r.created))] if cell.of else ""

    template = _template("report.html.j2")
    return template.render(page=page, title="reidkit report", link=link, **_shared(page.album))


def search_page(block: Block, album: Album, title: str, facts: Sequence[tuple[str, str]], notes: Sequence[str]) -> str:
    """One tracklet's ranking list."""
    return _template("search.html.j2").render(block=block, title=title, facts=facts, notes=notes, **_shared(album))


def reliability_picture(diagram: Diagram) -> str:
    """A reliability diagram as an SVG file of its own."""
    return _template("reliability.svg.j2").render(diagram=diagram).strip() + "\n"


def _template(name: str) -> jinja2.Template:
    loader = jinja2.FunctionLoader(_text)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _shared(album: Album) -> dict:
    """What every template uses. Only our own files and base64 go in unescaped."""
    size = f":root{{--strip-frames:{FRAMES};--crop-width:{WIDTH}px;--crop-height:{HEIGHT}px}}\n"
    return {
        "style": Markup(size + _text("report.css") + album.css),
        "script": Markup(_text("report.js")),
        "metrics": METRICS,
    }
