"""A run's folder: checkpoints, and what becomes of damaged files."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from reidkit.datasets import UsageError
from reidkit.training import run_folder
from reidkit.training.run_folder import RunFacts, TrainedOn, read_facts, write_facts

FACTS = RunFacts("a" * 64, "resnet50", "tiny", {"lr": 0.1, "milestones": [3]}, 6, 2, TrainedOn("made-up", "f"))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def files(folder):
    return sorted(p.name for p in folder.iterdir())


def files_of(epoch):
    return [f"epoch-{epoch:04d}.optimiser.pt", f"epoch-{epoch:04d}.safetensors"]


def train_a_little(model, optimiser, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        model(torch.randn(5, 3)).pow(2).sum().backward()
        optimiser.step()


def test_save_and_resume_keep_weights_and_optimiser(tmp_path):
    model = net()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    train_a_little(model, optimiser, 3)
    assert run_folder.resume(tmp_path, net(), None) == 0
    run_folder.save_checkpoint(tmp_path, model, optimiser, epoch=1)
    train_a_little(model, optimiser, 1)
    run_folder.save_checkpoint(tmp_path, model, optimiser, epoch=2)
    run_folder.save_checkpoint(tmp_path, model, optimiser, epoch=3)
    assert files(tmp_path) == ["checkpoint.json", *files_of(2), *files_of(3)]  # the newest, and one to fall back on
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    other_optimiser = torch.optim.Adam(other.parameters(), lr=0.5)
    assert run_folder.resume(tmp_path, other, other_optimiser) == 3
    for m, o in ((model, optimiser), (other, other_optimiser)):
        torch.manual_seed(7)
        train_a_little(m, o, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_kill_before_the_manifest_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    model = net()
    optimiser = torch.optim.Adam(model.parameters())
    run_folder.save_checkpoint(tmp_path, model, optimiser, epoch=1)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        run_folder.save_checkpoint(tmp_path, model, optimiser, epoch=2)
    assert run_folder.resume(tmp_path, net(), torch.optim.Adam(net().parameters())) == 1


def test_a_finished_run_keeps_only_weights(tmp_path):
    model = net()
    run_folder.save_checkpoint(tmp_path, model, torch.optim.Adam(model.parameters()), epoch=1)
    run_folder.save_checkpoint(tmp_path, model, None, epoch=2)
    assert files(tmp_path) == ["checkpoint.json", "model.safetensors"]
    assert run_folder.manifest(tmp_path).finished


@pytest.fixture
def saved(tmp_path):
    """A folder after epochs 1 and 2, and the weights and optimiser states of both."""
    model = net()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    states = {}
    for epoch in (1, 2):
        train_a_little(model, optimiser, 3)
        run_folder.save_checkpoint(tmp_path, model, optimiser, epoch)
        states[epoch] = {k: v.clone() for k, v in model.state_dict().items()}
    return tmp_path, states


def other_optimiser(path):
    model = nn.Linear(3, 4)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    torch.save(optimiser.state_dict(), path)


def other_shapes(path):
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 5))
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 4, generator=torch.Generator().manual_seed(0))).sum().backward()
    optimiser.step()
    torch.save(optimiser.state_dict(), path)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "text": lambda path: path.write_text("no tensors"),
    "a list": lambda path: torch.save([1, 2], path),
    "another optimiser": other_optimiser,
    "another model": other_shapes,
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("again", [False, True])
def test_a_damaged_optimiser_file_is_named_and_the_epoch_before_is_taken(saved, capsys, how, again):
    folder, states = saved
    DAMAGE[how](folder / "epoch-0002.optimiser.pt")
    model = net()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    if again:  # the epoch before is damaged, too: nothing to go on with
        (folder / "epoch-0001.optimiser.pt").write_bytes(b"")
        with pytest.raises(UsageError, match=r"epoch-0001\.optimiser\.pt' .*To train this run anew, add --again\."):
            run_folder.resume(folder, model, optimiser)
        return
    assert run_folder.resume(folder, model, optimiser) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "epoch-0002.optimiser.pt'" in said
    assert "Going on after epoch 1, the last whole one." in said
    assert all(torch.equal(v, states[1][k]) for k, v in model.state_dict().items())
    # the epoch that is trained again takes the damaged one's place
    run_folder.save_checkpoint(folder, model, optimiser, 2)
    assert files(folder) == ["checkpoint.json", *files_of(1), *files_of(2)]
    assert run_folder.resume(folder, net(), torch.optim.Adam(net().parameters())) == 2


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_damaged_weights_are_named_and_the_epoch_before_is_taken(saved, capsys, content):
    folder, states = saved
    path = folder / "epoch-0002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    model = net()
    assert run_folder.resume(folder, model, torch.optim.Adam(model.parameters())) == 1
    assert "epoch-0002.safetensors" in capsys.readouterr().err
    assert all(torch.equal(v, states[1][k]) for k, v in model.state_dict().items())


def test_a_folder_from_before_two_epochs_were_kept_can_be_resumed(saved):
    folder, states = saved
    old = {"format": 1, "epoch": 2, "finished": False, "weights": files_of(2)[1], "optimiser": files_of(2)[0]}
    (folder / "checkpoint.json").write_text(json.dumps(old))
    model = net()
    assert run_folder.resume(folder, model, torch.optim.Adam(model.parameters())) == 2
    assert all(torch.equal(v, states[2][k]) for k, v in model.state_dict().items())


WHOLE = {"format": 1, "epoch": 2, "finished": False, "weights": "epoch-0002.safetensors", "optimiser": None}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        b"\xff",
        {"format": 1},
        WHOLE | {"epoch": "2"},
        WHOLE | {"epoch": -1},
        WHOLE | {"epoch": 10**12},
        WHOLE | {"finished": 1},
        WHOLE | {"weights": None},
        WHOLE | {"weights": "../../elsewhere.safetensors"},
        WHOLE | {"optimiser": "/etc/passwd"},
        WHOLE | {"optimiser": ["a"]},
        WHOLE | {"previous": {"epoch": 1}},
        WHOLE | {"format": "1"},
        WHOLE | {"format": 99},
    ],
)
def test_a_damaged_manifest_is_reported(tmp_path, content):
    data = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
    (tmp_path / "checkpoint.json").write_bytes(data or json.dumps(content).encode())
    with pytest.raises(UsageError, match=r"checkpoint\.json' (can't be used.*train that run again|.*newer)") as error:
        run_folder.manifest(tmp_path)
    assert "\n" not in str(error.value)


def test_facts_come_back(tmp_path):
    assert read_facts(tmp_path) is None
    write_facts(tmp_path, FACTS)
    (tmp_path / "model.safetensors").touch()
    assert read_facts(tmp_path) == read_facts(tmp_path / "model.safetensors") == FACTS


def test_facts_from_before_the_source_was_recorded_are_read(tmp_path):
    record = dataclasses.asdict(FACTS)
    for key in ("source", "file"):
        del record[key]
    (tmp_path / "run.json").write_text(json.dumps(record | {"dataset": {"name": "made-up", "fingerprint": "f"}}))
    assert read_facts(tmp_path) == FACTS


@pytest.mark.parametrize(
    "change",
    [
        {"key": 3},
        {"model": None},
        {"size": ["tiny"]},
        {"recipe": []},
        {"recipe": {"lr": {"a": {"b": {"c": 1}}}}},
        {"classes": -1},
        {"classes": 0},
        {"classes": 10**9},
        {"classes": "6"},
        {"classes": 6.5},
        {"cameras": 10**9},
        {"dataset": "made-up"},
        {"dataset": {"name": 3, "fingerprint": "f"}},
        {"dataset": {"name": "x"}},
        {"processes": -1},
        {"file": 3},
    ],
)
def test_wrong_types_and_absurd_values_of_facts_are_reported(tmp_path, change):
    (tmp_path / "run.json").write_text(json.dumps(dataclasses.asdict(FACTS) | change))
    with pytest.raises(UsageError, match=r"run\.json' can't be used: .*Delete its folder") as error:
        read_facts(tmp_path)
    assert "\n" not in str(error.value)


def test_what_a_killed_run_left_half_written_is_removed(saved):
    folder, _ = saved
    (folder / ".epoch-0003.safetensors.4711.tmp").write_bytes(b"half")
    (folder / ".lock").touch()
    whole = set(files(folder)) - {".epoch-0003.safetensors.4711.tmp"}
    run_folder.clean(folder)
    assert set(files(folder)) == whole
