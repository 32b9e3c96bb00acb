import pytest
from caption_server import serving, write_people


@pytest.fixture
def folder(tmp_path):
    return write_people(tmp_path / "set")


@pytest.fixture
def serve():
    with serving() as start:
        yield start
