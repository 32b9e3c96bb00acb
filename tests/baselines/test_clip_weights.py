"""Nothing in a weights file is executed, and each refusal says what to do."""

import pytest
import torch

from reidkit.baselines.clip_weights import _cached, read_weights
from reidkit.datasets import UsageError


class Payload:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_is_refused_and_not_executed(tmp_path, capsys):
    path = tmp_path / "clip.pt"
    torch.save({"weight": Payload()}, path)
    with pytest.raises(UsageError, match="does not unpickle"):
        read_weights("tiny", str(path))
    assert "executed" not in capsys.readouterr().out


def test_torchscript_is_read_only_where_openai_released_it(tmp_path):
    path = tmp_path / "clip.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    with pytest.raises(UsageError, match="TorchScript program and not one that OpenAI released"):
        read_weights("tiny", str(path))


@pytest.mark.parametrize("name", ["clip.safetensors", "clip.pt"])
def test_a_cut_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    with pytest.raises(UsageError):
        read_weights("tiny", str(tmp_path / name))


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "clip.pt")
    with pytest.raises(UsageError, match="no state dict"):
        read_weights("tiny", str(tmp_path / "clip.pt"))


def test_the_caches_are_looked_into(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    entry = {"url": "https://example.org/abc/ViT-B-16.pt", "hf_hub": ""}
    assert _cached(entry) is None
    file = tmp_path / ".cache" / "clip" / "ViT-B-16.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert _cached(entry) == file
