"""CVAT for video 1.1: an XML file a camera of an event, to be loaded into a CVAT task of that video and corrected.

    final--east.xml      a track a tracklet, label person, junk or distractor, with the attributes identity, tracklet,
                         split and role; a key box at each crop, and the end of the track behind the last one

Frames count from 0. Between two crops CVAT draws the box in between. `reidkit import` reads the corrected file.
"""

from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import XMLGenerator

from ...datasets.format import KINDS
from .content import Content, Item
from .sequences import Sequence, sequences
from .sequences import fault as fault_of_boxes

BOX = {"xtl": "x1", "ytl": "y1", "xbr": "x2", "ybr": "y2"}  # CVAT's names of the sides and ours
ATTRIBUTES = ("identity", "tracklet", "split", "role")
OCCLUDED = 0.5  # share of a box that must be covered for CVAT's mark


def fault(content: Content) -> str:
    """Why CVAT's files can't hold the dataset; "" where they can."""
    return fault_of_boxes(content, "CVAT")


def write(content: Content, out: Path, advance: Callable[[int], None]) -> None:
    """Writes the files into the folder `out`; `advance` is told of each tracklet's crops."""
    for sequence in sequences(content):
        with open(out / f"{sequence.name}.xml", "w", encoding="utf-8", newline="\n") as file:
            xml = _Writer(file, encoding="utf-8")
            xml.startDocument()
            with xml.element("annotations"):
                xml.text("version", "1.1")
                _write_meta(xml, sequence, f"{content.events[sequence.event]}/{content.cameras[sequence.camera]}")
                for number, item in enumerate(sequence.items):
                    _write_track(xml, number, item, sequence.length)
                    advance(len(item.rows))


class _Writer(XMLGenerator):
    """Elements on lines of their own."""

    def element(self, name: str, /, **attributes: object) -> "_Element":
        return _Element(self, name, {key: str(value) for key, value in attributes.items()})

    def text(self, name: str, content: object, /, **attributes: object) -> None:
        self.startElement(name, {key: str(value) for key, value in attributes.items()})  # type: ignore[arg-type]
        self.characters(str(content))
        self.endElement(name)
        self.ignorableWhitespace("\n")


class _Element:
    def __init__(self, xml: _Writer, name: str, attributes: dict[str, str]) -> None:
        self._xml, self._name, self._attributes = xml, name, attributes

    def __enter__(self) -> None:
        self._xml.startElement(self._name, self._attributes)  # type: ignore[arg-type]
        self._xml.ignorableWhitespace("\n")

    def __exit__(self, *_: object) -> None:
        self._xml.endElement(self._name)
        self._xml.ignorableWhitespace("\n")


def _write_meta(xml: _Writer, sequence: Sequence, name: str) -> None:
    with xml.element("meta"):
        with xml.element("task"):
            xml.text("name", name)
            xml.text("size", sequence.length)
            xml.text("mode", "interpolation")
            xml.text("start_frame", 0)
            xml.text("stop_frame", sequence.length - 1)
            with xml.element("labels"):
                for kind in KINDS:
                    with xml.element("label"):
                        xml.text("name", kind)
                        with xml.element("attributes"):
                            for attribute in ATTRIBUTES:
                                with xml.element("attribute"):
                                    xml.text("name", attribute)
                                    xml.text("mutable", "False")
                                    xml.text("input_type", "text")
                                    xml.text("default_value", "")
                                    xml.text("values", "")
        source = sequence.source
        if source is not None and source.width and source.height:
            with xml.element("original_size"):
                xml.text("width", source.width)
                xml.text("height", source.height)


def _write_track(xml: _Writer, number: int, item: Item, length: int) -> None:
    identity = item.identity if item.person else ""
    values = dict(zip(ATTRIBUTES, (identity, item.id, item.split, item.role), strict=True))
    rows = item.rows.to_dicts()
    ends = [{**rows[-1], "frame": rows[-1]["frame"] + 1}] if rows[-1]["frame"] + 1 < length else []
    with xml.element("track", id=number, label=item.kind, source="auto"):
        for place, row in enumerate((*rows, *ends)):
            box = {name: f"{row[side]:.9g}" for name, side in BOX.items()}
            marks = {
                "frame": row["frame"],
                "keyframe": 1,
                "outside": int(place >= len(rows)),
                "occluded": int(row["occlusion"] > OCCLUDED),
            }
            with xml.element("box", **marks, **box, z_order=0):
                for name, value in values.items():
                    xml.text("attribute", value, name=name)
