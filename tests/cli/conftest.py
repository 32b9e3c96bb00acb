import pytest
from command_line import run
from made_up import write_own

from reidkit.training import zoo


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder without any bench."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REIDKIT_DATA", raising=False)
    monkeypatch.setattr(zoo, "MODULES", {"resnet50": "..baselines.resnet50"})
    return tmp_path


@pytest.fixture
def trained(here, capsys):
    path = write_own(here, "mine")
    code, _, err = run(capsys, "resnet50", "--bench", path)
    assert code == 0, err
    return path, here / "runs" / "mine" / "resnet50" / "seed0"
