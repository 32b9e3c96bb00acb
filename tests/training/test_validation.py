"""Held-out identities: who they are, how they are asked, and that the epoch they like best is what remains."""

import dataclasses
import json

import pytest
import torch
from small_models import RESNET

from reidkit.baselines import resnet50
from reidkit.datasets import Frames, ReidDataset, Tracklet, UsageError
from reidkit.datasets.manifest import Division, Manifest
from reidkit.training import cell as cell_module
from reidkit.training import checkpoint, experiment, loop, run_folder, validation
from reidkit.training.cell import Cell, Places, cell_key
from reidkit.training.experiment import run_cell
from reidkit.training.parallel import Parallel
from reidkit.training.recipe import Recipe

RECIPE = RESNET.changed(epochs=5, validate=0.4, validate_every=2)
HERE = Parallel(torch.device("cpu"))
SHARE = Recipe(validate=0.3)


def made_of(*tracklets, protocol="video-reid", **changes):
    """A dataset of nothing but training tracklets, given as (identity, camera)."""
    frames = Frames(("x.jpg",))
    train = tuple(Tracklet(f"{k}", identity, camera, frames) for k, (identity, camera) in enumerate(tracklets))
    return dataclasses.replace(ReidDataset("made-up", train, (), (), protocol), **changes)


def everybody(people=10, cameras=2):
    return [(identity, camera) for identity in range(1, people + 1) for camera in range(cameras)]


def test_whole_identities_are_held_out_and_a_seed_gives_the_same():
    dataset = made_of(*everybody())
    held = validation.hold_out(dataset, SHARE)
    assert len(held.identities) == 3
    assert held.drawn_by == "seed"
    assert held.training.identities == tuple(i for i in dataset.identities if i not in held.identities)
    assert {t.identity for t in held.validation.test} == set(held.identities)
    assert len(held.training.train) + len(held.validation.test) == len(dataset.train)
    assert validation.hold_out(dataset, SHARE).identities == held.identities
    others = {validation.hold_out(dataset, SHARE.changed(seed=seed)).identities for seed in range(8)}
    assert len(others) > 3
    assert validation.hold_out(dataset, Recipe()) is None


def test_a_dataset_that_names_its_own_is_taken_at_its_word():
    manifest = Manifest(1, split=Division("identity", 0.3, 7, validation=0.2))
    held = validation.hold_out(made_of(*everybody(), manifest=manifest), SHARE.changed(seed=3))
    assert held.drawn_by == "dataset"
    assert held.identities == validation.hold_out(made_of(*everybody()), Recipe(validate=0.2, seed=7)).identities


@pytest.mark.parametrize(
    ("tracklets", "share", "words"),
    [
        (everybody(6), 0.1, r"holds out 1, 1 of them seen by two cameras, and leaves 5; .* Give a larger share"),
        (everybody(4), 0.9, r"holds out 3, 3 of them .* leaves 1; .* Give a smaller share"),
        (everybody(3), 0.5, r"Train on it without --validate\.$"),
        (everybody(9, cameras=1), 0.5, r"0 were seen by two cameras\. Train on it without --validate\.$"),
    ],
)
def test_too_few_are_refused(tracklets, share, words):
    with pytest.raises(UsageError, match=words):
        validation.hold_out(made_of(*tracklets), Recipe(validate=share))


def test_holding_out_takes_a_few_passes_however_many_tracklets_there_are(monkeypatch):
    passes, matched = [], validation._matched
    monkeypatch.setattr(validation, "_matched", lambda tracklets: passes.append(1) or matched(tracklets))
    for people in (10, 40):
        validation.hold_out(made_of(*everybody(people)), SHARE)
    assert len(passes) == 2 * 2


def ids(tracklets):
    return [t.id for t in tracklets]


def test_queries_stay_in_the_gallery_or_leave_a_match_there():
    seen = [(1, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (4, 0), (4, 0), (4, 1), (4, 1)]
    stay = validation.as_test_set(made_of(protocol="mars"), made_of(*seen).train)
    assert ids(stay.query) == ["0", "2", "3", "4", "6", "8"]  # nobody else saw person 3
    assert ids(stay.gallery) == [str(k) for k in range(10)]
    leave = validation.as_test_set(made_of(protocol="ls-vid"), made_of(*seen).train)
    assert ids(leave.query) == ["0", "3", "6", "8"]
    assert ids(leave.gallery) == ["1", "2", "4", "5", "7", "9"]
    assert leave.train == ()


def test_people_of_two_events_are_not_mixed():
    train = made_of((1, 0), (1, 1)).train
    apart = (train[0], dataclasses.replace(train[1], event=1))
    assert validation.as_test_set(made_of(), apart).query == ()


def test_tf_clips_ilids_is_validated_in_windows():
    frames = Frames(tuple(f"{k}.png" for k in range(16)))
    train = tuple(dataclasses.replace(t, frames=frames) for t in made_of((1, 0), (1, 1)).train)
    made = validation.as_test_set(made_of(protocol="ilids-vid-tfclip"), train)
    assert ids(made.query) == ["0/0", "0/4", "0/8"]
    assert ids(made.gallery) == ["0/0", "0/4", "0/8", "1/0", "1/4", "1/8"]


def test_when_it_is_asked_and_which_epoch_is_better():
    assert [epoch for epoch in range(1, 6) if validation.due(epoch, RECIPE)] == [2, 4, 5]
    assert validation.every(Recipe(epochs=240)) == 24
    assert validation.every(Recipe(epochs=4)) == 1
    assert not validation.due(2, RECIPE.changed(validate=0.0))
    best = validation.better(None, 2, {"mAP": 50.0, "R1": 60.0})
    for epoch, (mean, first), expected in ((4, (50.0, 60.0), 2), (6, (50.0, 61.0), 6), (8, (49.0, 99.0), 6)):
        best = validation.better(best, epoch, {"mAP": mean, "R1": first})
        assert best.epoch == expected
    assert best.weights == "epoch-0006.safetensors"


class Killed(BaseException):
    pass


def training(made_up, folder, figures):
    """Trains with a judge that says what `figures` has for each epoch; the model, and what it weighed when asked."""
    dataset = made_up()
    torch.manual_seed(0)
    model = resnet50.build(RECIPE, len(dataset.identities), dataset.num_cameras)
    seen = {}

    def judge(model):
        epoch = len(loop.read_log(folder / run_folder.LOG)) + 1
        seen[epoch] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return {"mAP": figures[epoch], "R1": 0.0}

    loop.train(model, dataset, RECIPE, folder, HERE, judge=judge)
    return model, seen


@pytest.mark.parametrize(("figures", "best"), [({2: 30, 4: 20, 5: 10}, 2), ({2: 1, 4: 2, 5: 3}, 5)])
def test_the_best_epoch_is_what_remains(made_up, tmp_path, figures, best):
    model, seen = training(made_up, tmp_path / "run", figures)
    assert sorted(seen) == [2, 4, 5]
    saved = checkpoint.read_weights(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(value, seen[best][name]) for name, value in saved.items())
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    found = run_folder.manifest(tmp_path / "run")
    assert (found.epoch, found.best) == (5, run_folder.Best(best, "model.safetensors", {"mAP": figures[best], "R1": 0}))
    log = loop.read_log(tmp_path / "run" / run_folder.LOG)
    assert [line.get("validation", {}).get("mAP") for line in log] == [None, figures[2], None, figures[4], figures[5]]


@pytest.mark.parametrize("when", ["epoch", "last", "damage"])
def test_the_best_epoch_survives_a_kill(made_up, tmp_path, monkeypatch, when):
    figures = {2: 30, 4: 20, 5: 10}
    training(made_up, tmp_path / "whole", figures)
    real = run_folder.save_checkpoint

    def dying(folder, model, optimiser, epoch, best=None):
        if when == "last" and optimiser is None:
            raise Killed
        real(folder, model, optimiser, epoch, best)
        if when != "last" and epoch == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "save_checkpoint", dying)
        with pytest.raises(Killed):
            training(made_up, tmp_path / "cut", figures)
    assert (tmp_path / "cut" / "epoch-0002.safetensors").is_file()
    assert not (tmp_path / "cut" / "epoch-0001.safetensors").exists()
    if when == "damage":
        (tmp_path / "cut" / "epoch-0004.optimiser.pt").write_bytes(b"")
    training(made_up, tmp_path / "cut", figures)
    files = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "cut")]
    assert files[0] == files[1]
    assert run_folder.manifest(tmp_path / "cut").best == run_folder.manifest(tmp_path / "whole").best
    assert sorted(p.name for p in (tmp_path / "cut").iterdir() if p.name.startswith("epoch")) == []


@pytest.fixture
def bench(made_up, monkeypatch):
    """Makes `made-up` a bench, and counts which datasets are scored."""
    dataset = made_up()
    monkeypatch.setattr(cell_module, "bench_splits", lambda name, root: 1)
    monkeypatch.setattr(cell_module, "load_bench", lambda name, root, split=0: dataset)
    return dataset


def cell(**changes):
    return Cell(resnet50, "resnet50", "tiny", dataclasses.replace(RECIPE, **changes), "made-up")


def test_a_cell_says_who_chose_and_the_test_set_is_ranked_once(bench, tmp_path, monkeypatch):
    ranked = []
    real = experiment.extract_features
    monkeypatch.setattr(experiment, "extract_features", lambda m, t, *a, **k: ranked.append(t) or real(m, t, *a, **k))
    result = run_cell(cell(), Places(tmp_path / "results", tmp_path / "runs"), HERE)
    assert [t is bench.test for t in ranked] == [False, False, False, True]
    (origin,) = result.weights
    held = validation.hold_out(bench, RECIPE)
    assert origin.chosen.identities == list(held.identities)
    assert (origin.chosen.of, origin.chosen.share, origin.chosen.drawn_by) == (5, len(held.identities) / 6, "seed")
    folder = tmp_path / "runs" / "made-up" / "resnet50" / "seed0"
    lines = {line["epoch"]: line.get("validation") for line in loop.read_log(folder / "log.jsonl")}
    assert origin.chosen.metrics == lines[origin.chosen.epoch]
    assert max(line["mAP"] for line in lines.values() if line) == origin.chosen.metrics["mAP"]
    classes = checkpoint.read_weights(folder / "model.safetensors")["neck.classifier.weight"].shape[0]
    assert classes == 6 - len(held.identities) == json.loads((folder / "run.json").read_text())["classes"]


def test_a_stopped_cell_gives_the_result_of_one_that_was_not(bench, tmp_path, monkeypatch):
    places = {name: Places(tmp_path / name / "results", tmp_path / name / "runs") for name in ("whole", "cut")}
    whole = run_cell(cell(), places["whole"], HERE)
    real = loop._epoch

    def interrupted(*arguments):
        if arguments[5] == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_cell(cell(), places["cut"], HERE)
    cut = run_cell(cell(), places["cut"], HERE)
    assert (cut.metrics, cut.weights, cut.open_set) == (whole.metrics, whole.weights, whole.open_set)


def test_who_is_held_out_belongs_to_the_run(bench):
    keys = {cell_key(cell(validate=share), bench) for share in (0.0, 0.4, 0.6)}
    manifest = Manifest(1, split=Division("identity", 0.3, 7, validation=0.5))
    assert len(keys | {cell_key(cell(), dataclasses.replace(bench, manifest=manifest))}) == 4


def test_a_share_that_holds_out_too_few_is_refused_before_any_work(bench, tmp_path):
    with pytest.raises(UsageError, match="Give a larger share"):
        run_cell(cell(validate=0.1), Places(tmp_path / "results", tmp_path / "runs"), HERE)
    assert not (tmp_path / "runs").exists()
