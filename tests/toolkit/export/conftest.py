"""A small dataset with all that an export may have to hold: junk, distractors, captions, boxes, times."""

import json
from pathlib import Path

import pytest
from exportable import MANIFEST, place

from reidkit.toolkit.export.content import Content, read_content, read_crops


@pytest.fixture
def small(write_own, own_rows, tmp_path) -> Path:
    root = place(write_own(tmp_path / "small", rows=own_rows, manifest=MANIFEST))
    lines = [{"tracklet": "a", "text": "red <shoes> & a hat"}, {"tracklet": "d", "text": "tall"}]
    (root / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def crops_of(content: Content) -> dict[str, list[bytes]]:
    """Tracklet id -> the bytes of its crops."""
    return {item.id: [data for _, data in read_crops(content, item)] for item in content.items}


@pytest.fixture
def content(small) -> Content:
    return read_content(small)


@pytest.fixture
def crops(content) -> dict[str, list[bytes]]:
    return crops_of(content)
