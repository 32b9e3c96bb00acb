"""`reidkit build-dataset`: its choices, which it lists itself so that `--help` waits for no library."""

from pathlib import Path
from typing import get_args

from reidkit.cli import build
from reidkit.toolkit.boxes import LOOKS
from reidkit.toolkit.build import Protocol
from reidkit.toolkit.split import By
from reidkit.toolkit.track import TRACKERS
from reidkit.toolkit.use import default_output


def test_its_choices_are_the_builders():
    assert set(build.TRACKERS) == {LOOKS, *TRACKERS}
    assert set(build.PROTOCOLS) == set(get_args(Protocol))
    assert set(build.SPLITS) == set(get_args(By))


def test_the_dataset_goes_beside_the_footage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_output("raw/") == Path("raw-dataset")
    assert default_output(".") == tmp_path.with_name(f"{tmp_path.name}-dataset")
