"""A small dataset under review."""

import pytest

from reidkit.toolkit.review.session import open_session


@pytest.fixture
def root(write_own, tmp_path):
    """Tracklets a to i of conftest's ROWS: 3 is a and b, 8 is c, 5 is d and e, 6 is f and g, h junk, i a distractor.

    All are seen from second 1 to 2: a and c in camera north of the final, e, f and h in camera east of the heat.
    """
    return write_own(tmp_path / "set")


@pytest.fixture
def session(root):
    with open_session(root) as session:
        yield session
