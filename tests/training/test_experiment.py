"""A cell from recipe to result: what is trained, what is reused, what is refused."""

import dataclasses
import fcntl
import json

import numpy as np
import pytest
import torch

from reidkit.baselines import resnet50
from reidkit.datasets import ReidkitError, UsageError
from reidkit.training import checkpoint, experiment, loop
from reidkit.training.experiment import Cell, Places, run_cell
from reidkit.training.parallel import Parallel
from reidkit.training.recipe import Recipe, from_dict, to_dict
from reidkit.training.trained import knows_cameras, open_foreign, open_run

RECIPE = resnet50.RECIPES["tiny"].changed(
    backbone_width=4,
    frames=2,
    test_frames=2,
    height=32,
    width=16,
    pad=2,
    identities=3,
    tracklets=2,
    epochs=2,
    warmup_epochs=0,
)
HERE = Parallel(torch.device("cpu"))


@pytest.fixture
def bench(made_up, monkeypatch):
    """Makes `made-up` a bench of one split and returns a function that sets other splits."""
    splits = [made_up()]

    def use(*datasets):
        splits[:] = datasets

    monkeypatch.setattr(experiment, "bench_splits", lambda name, root: len(splits))
    monkeypatch.setattr(experiment, "load_bench", lambda name, root, split=0: splits[split])
    use.splits = splits
    return use


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path / "results", tmp_path / "runs")


def cell(**changes):
    return Cell(resnet50, "resnet50", "tiny", dataclasses.replace(RECIPE, **changes), "made-up")


@pytest.fixture
def epochs(monkeypatch):
    """Counts the epochs that are trained."""
    counted = []
    real = loop._epoch

    def counting(*arguments):
        counted.append(arguments[5])
        return real(*arguments)

    monkeypatch.setattr(loop, "_epoch", counting)
    return counted


def test_a_cell_makes_a_result_a_checkpoint_and_a_log(bench, places):
    result = run_cell(cell(), places, HERE, command="reidkit run …")
    dataset = bench.splits[0]
    folder = places.runs / "made-up" / "resnet50" / "seed0"
    assert sorted(p.name for p in folder.iterdir()) == [
        ".lock",
        "checkpoint.json",
        "log.jsonl",
        "model.safetensors",
        "run.json",
    ]
    assert (result.model, result.size, result.bench, result.seed) == ("resnet50", "tiny", "made-up", 0)
    assert result.protocol == "video-reid"
    assert result.sampling == "dense"
    assert result.queries == len(dataset.query)
    assert result.dataset["fingerprint"] == dataset.fingerprint
    assert result.recipe == to_dict(RECIPE)
    assert result.command == "reidkit run …"
    assert result.seconds > 0
    assert 0 <= result.metrics["mAP"] <= 100
    assert len(list(places.results.rglob("*.json"))) == 1


def test_a_finished_cell_is_read_and_another_seed_recipe_or_dataset_is_not(bench, places, epochs, made_up):
    first = run_cell(cell(), places, HERE)
    assert epochs == [0, 1]
    assert run_cell(cell(), places, HERE).metrics == first.metrics
    assert epochs == [0, 1]
    run_cell(cell(seed=1), places, HERE)
    assert len(epochs) == 4
    run_cell(cell(lr=1e-4), places, HERE)
    assert len(epochs) == 6
    other = [p.name for p in (places.runs / "made-up" / "resnet50").iterdir() if p.name.startswith("seed0-")]
    assert len(other) == 1  # another recipe doesn't overwrite the run that is there
    bench(made_up(test=3))
    run_cell(cell(), places, HERE)
    assert len(epochs) == 8
    renamed = [dataclasses.replace(t, captions=("somebody else",)) for t in bench.splits[0].train]
    bench(dataclasses.replace(bench.splits[0], train=tuple(renamed)))
    run_cell(cell(), places, HERE)  # captions change the training
    assert len(epochs) == 10


def test_again_trains_anew_to_the_same_figures(bench, places, epochs):
    first = run_cell(cell(), places, HERE)
    second = run_cell(cell(), places, HERE, again=True)
    assert epochs == [0, 1, 0, 1]
    assert second.metrics == first.metrics
    assert len(list(places.results.rglob("*.json"))) == 2  # the store is append-only


def test_a_lost_result_is_made_from_the_finished_run(bench, places, epochs):
    first = run_cell(cell(), places, HERE)
    for path in places.results.rglob("*.json"):
        path.unlink()
    second = run_cell(cell(), places, HERE)
    assert epochs == [0, 1]
    assert second.metrics == first.metrics


def test_splits_are_averaged(bench, places, made_up):
    bench(made_up("a"), made_up("b", train=5, test=6), made_up("c", train=7, test=5))
    result = run_cell(cell(), places, HERE)
    assert len(result.splits) == 3
    for name in ("mAP", "R1"):
        values = [split[name] for split in result.splits]
        assert result.metrics[name] == pytest.approx(np.mean(values))
    assert result.queries == sum(len(d.query) for d in bench.splits)
    assert len({d.fingerprint for d in bench.splits} | {result.dataset["fingerprint"]}) == 4


def test_scores_equal_a_plain_ranking(bench, places):
    """mAP and R1 by loops over the saved model's features."""
    result = run_cell(cell(epochs=1), places, HERE)
    dataset = bench.splits[0]
    trained = open_run(resnet50, places.runs / "made-up" / "resnet50" / "seed0")
    features = experiment.extract_features(trained.model, dataset.test, RECIPE)
    precisions, hits = [], []
    for q, query in enumerate(dataset.test):
        others = [g for g, t in enumerate(dataset.test) if (t.identity, t.camera) != (query.identity, query.camera)]
        others.sort(key=lambda g: -float(features[q] @ features[g]))
        right = [dataset.test[g].identity == query.identity for g in others]
        ranks = [rank for rank, hit in enumerate(right, 1) if hit]
        precisions.append(np.mean([i / rank for i, rank in enumerate(ranks, 1)]))
        hits.append(right[0])
    assert result.metrics["mAP"] == pytest.approx(100 * np.mean(precisions), abs=1e-3)
    assert result.metrics["R1"] == pytest.approx(100 * np.mean(hits), abs=1e-3)


def test_open_run_gives_the_trained_model(bench, places):
    run_cell(cell(), places, HERE)
    folder = places.runs / "made-up" / "resnet50" / "seed0"
    for path in (folder, folder / "model.safetensors"):
        trained = open_run(resnet50, path)
        assert trained.recipe == RECIPE
        saved = checkpoint.read_weights(folder / "model.safetensors")
        assert all(torch.equal(v, saved[k]) for k, v in trained.model.state_dict().items())
        assert not trained.model.training


def test_open_foreign_reads_the_counts_off_the_shapes(tmp_path):
    theirs = resnet50.build(RECIPE, num_classes=17, num_cameras=3)
    torch.save({"state_dict": theirs.state_dict() | {"extra": torch.zeros(1)}}, tmp_path / "theirs.pth")
    model, report = open_foreign(resnet50, RECIPE, tmp_path / "theirs.pth", classes=5, cameras=2)
    assert model.neck.classifier.weight.shape[0] == 17
    assert report == checkpoint.LoadReport(missing=(), unexpected=("extra",))
    assert torch.equal(model.backbone.conv1.weight, theirs.backbone.conv1.weight)
    assert not knows_cameras(resnet50, RECIPE)


def test_a_locked_folder_is_refused(bench, places):
    folder = places.runs / "made-up" / "resnet50" / "seed0"
    folder.mkdir(parents=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ReidkitError, match="Another process trains"):
            run_cell(cell(), places, HERE)


def test_a_dataset_without_queries_is_refused(bench, places, made_up):
    bench(dataclasses.replace(made_up(), query=()))
    with pytest.raises(UsageError, match="no queries"):
        run_cell(cell(epochs=1), places, HERE)


@pytest.mark.parametrize("text", ["{", json.dumps({"key": "x"})])
def test_a_damaged_run_file_is_named(bench, places, text):
    folder = places.runs / "made-up" / "resnet50" / "seed0"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(text)
    with pytest.raises(ReidkitError, match=r"run.json' is damaged"):
        run_cell(cell(), places, HERE)


def test_recipes_survive_json():
    recipe = dataclasses.replace(RECIPE, milestones=(3, 4), triplet_margin=None)
    assert from_dict(resnet50.RECIPES["full"], json.loads(json.dumps(to_dict(recipe)))) == recipe
    with pytest.raises(UsageError, match="recipe key 'tokens'"):
        from_dict(Recipe(), {"tokens": 3})


def test_prepare_runs_once_and_its_buffers_are_kept(bench, places, monkeypatch):
    calls = []

    class Prepared(resnet50.Resnet50):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.register_buffer("memory", torch.empty(0))

        def prepare(self, dataset, extract):
            calls.append(dataset.name)
            frames = extract(dataset.train, lambda images, cameras: images.mean((2, 3)))
            self.memory = torch.stack([f.mean(0) for f in frames])

    monkeypatch.setattr(resnet50, "build", lambda recipe, classes, cameras: Prepared(recipe, classes))
    real = loop._epoch

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell(), places, HERE)
    monkeypatch.setattr(loop, "_epoch", real)
    run_cell(cell(), places, HERE)
    assert calls == ["made-up"]
    trained = open_run(resnet50, places.runs / "made-up" / "resnet50" / "seed0")
    assert trained.model.memory.shape == (len(bench.splits[0].train), 3)
    assert trained.model.memory.abs().sum() > 0
