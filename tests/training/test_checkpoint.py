"""Weights in and out; damaged and hostile files."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from reidkit.datasets import UsageError
from reidkit.training import checkpoint


class Payload:
    """Writes a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, legacy):
    target = tmp_path / "executed"
    path = tmp_path / "evil.pth"
    torch.save({"w": torch.ones(1), "x": Payload(target)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UsageError, match="refused"):
        checkpoint.read_weights(path)
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))  # the payload does what it says, elsewhere
    assert target.exists()


def test_a_bare_pickle_is_refused(tmp_path):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "executed"), protocol=2))
    with pytest.raises(UsageError):
        checkpoint.read_weights(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3, "rank1": np.float64(0.9)},  # as CNN papers' code saves it
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},  # from DataParallel
    ],
)
def test_released_layouts_are_read(tmp_path, wrap):
    model = net()
    torch.save(wrap(model.state_dict()), tmp_path / "best.pth.tar")
    found = checkpoint.read_weights(tmp_path / "best.pth.tar")
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[k], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.pth", None, "no weights at"),
        ("text.pth", b"hello", "no whole PyTorch file|refused"),
        ("empty.pth", b"", "no whole PyTorch file"),
        ("text.safetensors", b"hello", "no whole safetensors"),
        ("picture.png", b"x", "no weights file by its name"),
    ],
)
def test_unreadable_files_get_a_sentence(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words):
        checkpoint.read_weights(tmp_path / name)


@pytest.mark.parametrize("cut", [10, 200, 900])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_cut_files_are_reported(tmp_path, cut, suffix):
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save(nn.Linear(32, 32).state_dict(), path)
    else:
        checkpoint.save_weights(path, nn.Linear(32, 32))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UsageError):
        checkpoint.read_weights(path)


def test_a_file_without_tensors_is_reported(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(UsageError, match="no state dict"):
        checkpoint.read_weights(tmp_path / "a.pth")


def test_wrong_shape_names_the_tensor_and_both_shapes():
    weights = net().state_dict() | {"0.weight": torch.zeros(5, 3)}
    with pytest.raises(UsageError, match=r"'0.weight' in 'f.pth' has shape \[5, 3\] where the model has \[4, 3\]"):
        checkpoint.load_into(net(), weights, source="f.pth")


def test_unmatched_names_are_listed_or_refused():
    weights = net().state_dict()
    del weights["2.bias"]
    weights["extra"] = torch.zeros(1)
    report = checkpoint.load_into(net(), weights, source="f", strict=False)
    assert report == checkpoint.LoadReport(missing=("2.bias",), unexpected=("extra",))
    with pytest.raises(UsageError, match=r"absent 1 \(2.bias\), not known 1 \(extra\)"):
        checkpoint.load_into(net(), weights, source="f")
    with pytest.raises(UsageError, match="No name"):
        checkpoint.load_into(net(), {"extra": torch.zeros(1)}, source="f", strict=False)


def test_buffers_that_prepare_fills_take_the_saved_shape(tmp_path):
    class Bank(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.register_buffer("memory", torch.empty(0))
            self.register_buffer("later", None)

    trained = Bank()
    trained.memory, trained.later = torch.randn(3, 2), torch.arange(4)
    checkpoint.save_weights(tmp_path / "m.safetensors", trained)
    fresh = Bank()
    checkpoint.load_into(fresh, checkpoint.read_weights(tmp_path / "m.safetensors"), source="m")
    assert torch.equal(fresh.memory, trained.memory)
    assert torch.equal(fresh.later, trained.later)


def test_tied_weights_can_be_saved(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    checkpoint.save_weights(tmp_path / "tied.safetensors", model)
    assert checkpoint.read_weights(tmp_path / "tied.safetensors").keys() == model.state_dict().keys()
