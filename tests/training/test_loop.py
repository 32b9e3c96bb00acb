"""The loop: a loss that falls, a resume that changes nothing, processes that agree."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import RESNET

from reidkit.baselines import resnet50
from reidkit.datasets import ReidkitError, UsageError
from reidkit.datasets.devices import pick_device
from reidkit.training import checkpoint, loop, run_folder
from reidkit.training.parallel import Parallel

RECIPE = RESNET.changed(epochs=4, warmup_epochs=1)
HERE = Parallel(torch.device("cpu"))


def new_model(dataset, recipe=RECIPE, dropout=0.0):
    torch.manual_seed(0)
    model = resnet50.build(recipe, len(dataset.identities), dataset.num_cameras)
    if dropout:  # something that draws from the global generator
        model.neck.classifier = torch.nn.Sequential(torch.nn.Dropout(dropout), model.neck.classifier)
    return model


def test_the_loss_falls(made_up, tmp_path):
    dataset = made_up()
    recipe = dataclasses.replace(RECIPE, epochs=12, erase=0.0, lr=1e-2, identities=6)
    loop.train(new_model(dataset, recipe), dataset, recipe, tmp_path / "run", HERE, workers=2)
    log = loop.read_log(tmp_path / "run" / run_folder.LOG)
    assert [line["epoch"] for line in log] == list(range(1, 13))
    assert log[-1]["loss"] < 0.4 * log[0]["loss"]
    assert log[0]["steps"] == 1  # 6 identities, 6 a batch
    assert set(log[0]["losses"]) == {"id/clip", "triplet/clip"}
    assert log[0]["loss"] == pytest.approx(sum(log[0]["losses"].values()), rel=1e-5)
    assert log[0]["lr"] < log[2]["lr"]
    assert log[-1]["lr"] < log[2]["lr"]


def test_the_recipe_decides_the_stride(made_up, tmp_path, monkeypatch):
    given = []
    real = loop.TrainLoader
    monkeypatch.setattr(loop, "TrainLoader", lambda *a, **k: given.append(k["stride"]) or real(*a, **k))
    dataset = made_up(train=2)
    for stride in (0, 3):
        recipe = dataclasses.replace(RECIPE, epochs=1, identities=2, train_stride=stride)
        loop.train(new_model(dataset, recipe), dataset, recipe, tmp_path / str(stride), HERE)
    assert given == [0, 3]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kill_in", ["batch", "save", "log"])
def test_resume_after_a_kill_equals_the_run_that_was_not_killed(made_up, tmp_path, monkeypatch, kill_in):
    dataset = made_up()
    whole = new_model(dataset, dropout=0.3)
    loop.train(whole, dataset, RECIPE, tmp_path / "whole", HERE)

    saves = []
    real_epoch, real_save = loop._epoch, run_folder.save_checkpoint

    def dying_epoch(*arguments):
        if kill_in == "batch" and arguments[5] == 2:
            torch.rand(5)  # the global generator is elsewhere when it dies
            raise Killed
        return real_epoch(*arguments)

    def dying_save(folder, model, optimiser, epoch, best=None):
        saves.append(epoch)
        if epoch == 3 and kill_in == "log":  # the log has the epoch, the checkpoint has not
            raise Killed
        real_save(folder, model, optimiser, epoch, best)
        if epoch == 3 and kill_in == "save":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_epoch", dying_epoch)
        patch.setattr(run_folder, "save_checkpoint", dying_save)
        with pytest.raises(Killed):
            loop.train(new_model(dataset, dropout=0.3), dataset, RECIPE, tmp_path / "cut", HERE)
    torch.manual_seed(12345)
    resumed = new_model(dataset, dropout=0.3)
    loop.train(resumed, dataset, RECIPE, tmp_path / "cut", HERE, workers=2)

    expected = whole.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in resumed.state_dict().items())
    files = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "cut")]
    assert files[0] == files[1]
    timeless = [
        [
            {k: v for k, v in line.items() if "second" not in k}
            for line in loop.read_log(tmp_path / run / run_folder.LOG)
        ]
        for run in ("whole", "cut")
    ]
    assert timeless[0] == timeless[1]


def test_a_finished_run_is_not_trained_again(made_up, tmp_path, monkeypatch):
    dataset = made_up(train=3)
    loop.train(new_model(dataset), dataset, RECIPE, tmp_path, HERE)
    monkeypatch.setattr(loop, "_epoch", None)
    again = new_model(dataset)
    loop.train(again, dataset, RECIPE, tmp_path, HERE)
    saved = checkpoint.read_weights(tmp_path / "model.safetensors")
    assert all(torch.equal(v, saved[k]) for k, v in again.state_dict().items())


def test_interrupt_keeps_the_last_epoch(made_up, tmp_path, monkeypatch):
    dataset = made_up(train=3)
    real = loop._epoch

    def interrupted(*arguments):
        if arguments[5] == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.train(new_model(dataset), dataset, RECIPE, tmp_path, HERE)
    assert run_folder.manifest(tmp_path).epoch == 2


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_epoch(made_up, tmp_path):
    dataset = made_up(train=3)
    model = new_model(dataset)
    real = model.forward

    def forward(clips, cameras, labels):
        output = real(clips, cameras, labels)
        if (tmp_path / "epoch-0001.safetensors").exists():
            output.losses["bad"] = output.logits["clip"].sum() * float("nan")
        return output

    model.forward = forward
    with pytest.raises(ReidkitError, match=r"The loss is nan in epoch 2 .*--set lr="):
        loop.train(model, dataset, RECIPE, tmp_path, HERE)
    assert run_folder.manifest(tmp_path).epoch == 1


def test_one_identity_is_too_few(made_up, tmp_path):
    dataset = made_up(train=1)
    with pytest.raises(UsageError, match="1 training identities"):
        loop.train(new_model(dataset), dataset, RECIPE, tmp_path, HERE)


def test_the_log_survives_a_cut_line(tmp_path):
    line = {"epoch": 1, "seconds": 2.5, "losses": {"id": 0.5}}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + '\n{"epo')
    assert loop.read_log(tmp_path / "log.jsonl") == [line]
    assert loop.read_log(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize("damage", [b"3", b"\xff\xfe", b'{"epoch": "x", "seconds": 1}', b'{"epoch": 2}', b"[" * 10_000])
def test_what_is_no_line_of_a_log_is_left_out(tmp_path, damage):
    line = {"epoch": 1, "seconds": 2.5}
    (tmp_path / "log.jsonl").write_bytes(damage + b"\n" + json.dumps(line).encode() + b"\n")
    assert loop.read_log(tmp_path / "log.jsonl") == [line]


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta"])
def test_unknown_devices(name):
    with pytest.raises(UsageError, match=name):
        pick_device(name)


def test_epochs_of_seeds_differ():
    draws = {
        torch.rand(1, generator=loop.seed_everything(*key)).item()
        for key in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)]
    }
    assert len(draws) == 4
    torch.manual_seed(0)
    loop.seed_everything(3, 4, 0)
    first = torch.rand(3)
    loop.seed_everything(3, 4, 0)
    assert torch.equal(first, torch.rand(3))


RANK_SCRIPT = """
import dataclasses, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
import made_up
from reidkit.baselines import resnet50
from reidkit.training import experiment, loop, parallel, checkpoint, validation
torch.set_num_threads(1)
out = Path(sys.argv[2])
here = parallel.start("cpu")
dataset = made_up.make_dataset(out / f"data{here.rank}")
recipe = resnet50.RECIPES["tiny"].changed(backbone_width=4, frames=2, height=32, width=16, pad=2,
                             identities=2, tracklets=2, epochs=2, warmup_epochs=0, validate=0.4)
held = validation.hold_out(dataset, recipe)
torch.manual_seed(here.rank)  # they start apart and must not stay so
model = resnet50.build(recipe, len(held.training.identities), dataset.num_cameras)
judged = []
def judge(model):
    judged.append(experiment._judge(model, held, recipe, here, 0, ""))
    return judged[-1]
loop.train(model, held.training, recipe, out / "run", here, judge=judge)
(out / f"judged{here.rank}").write_text(str(judged))
checkpoint.save_weights(out / f"rank{here.rank}.safetensors", model)
parallel.stop()
"""


@pytest.mark.slow
def test_two_processes_agree_and_write_once(tmp_path):
    (tmp_path / "rank.py").write_text(RANK_SCRIPT)
    helper = Path(__file__).parents[1] / "helpers"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "rank.py"), str(helper), str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    first, second = (checkpoint.read_weights(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1))
    # batch norm's statistics too, though each process saw other batches
    assert all(torch.equal(first[name], second[name]) for name in first)
    log = loop.read_log(tmp_path / "run" / run_folder.LOG)
    assert [line["epoch"] for line in log] == [1, 2]
    assert log[0]["steps"] == 1  # 4 identities, 2 a batch, 2 processes
    judged = [(tmp_path / f"judged{rank}").read_text() for rank in (0, 1)]
    assert judged[0] == judged[1] == str([line["validation"] for line in log])
    assert log[0]["processes"] == 2
    saved = checkpoint.read_weights(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(saved[name], first[name]) for name in first)
