"""A cell from recipe to result: what is trained, what is reused, what is refused."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from small_models import RESNET as RECIPE

from reidkit.baselines import resnet50
from reidkit.datasets import UsageError
from reidkit.datasets.locks import exclusive
from reidkit.training import cell as cell_module
from reidkit.training import checkpoint, experiment, loop
from reidkit.training.cell import Cell, Places
from reidkit.training.experiment import run_cell, run_cells
from reidkit.training.parallel import Parallel
from reidkit.training.recipe import to_dict
from reidkit.training.trained import knows_cameras, open_foreign, open_run

HERE = Parallel(torch.device("cpu"))


@pytest.fixture
def bench(made_up, monkeypatch):
    """Makes `made-up` a bench of one split and returns a function that sets other splits."""
    splits = [made_up()]

    def use(*datasets):
        splits[:] = datasets

    monkeypatch.setattr(cell_module, "bench_splits", lambda name, root: len(splits))
    monkeypatch.setattr(cell_module, "load_bench", lambda name, root, split=0: splits[split])
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
    trained = open_run(places.runs / "made-up" / "resnet50" / "seed0")
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
        trained = open_run(path)
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
    with exclusive(folder / ".lock", ""), pytest.raises(UsageError, match="Another process trains"):
        run_cell(cell(), places, HERE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": ()}, "no queries"),
        ({"protocol": "video-reidd"}, "Unknown protocol 'video-reidd'"),
        ({"name": "../../elsewhere"}, "can't be the name of a bench"),
        ({"name": "complexity"}, "can't be the name of a bench"),
        ({"name": ".hidden"}, "can't be the name of a bench"),
    ],
)
def test_what_could_not_be_tested_or_stored_is_refused_before_any_work(bench, places, made_up, epochs, change, words):
    bench(dataclasses.replace(made_up(), **change))
    with pytest.raises(UsageError, match=words):
        run_cell(cell(), places, HERE)
    assert epochs == []
    assert not places.runs.exists()


@pytest.mark.parametrize("text", ["{", json.dumps({"key": "x"})])
def test_a_damaged_run_file_is_named(bench, places, text):
    folder = places.runs / "made-up" / "resnet50" / "seed0"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(text)
    with pytest.raises(UsageError, match=r"run.json' can't be used"):
        run_cell(cell(), places, HERE)


def edit_result(places, **changes):
    """The stored result as it would be, had it been written otherwise; None takes a key away."""
    (path,) = places.results.rglob("*.json")
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))
    return record


def test_another_version_of_the_protocol_is_tested_again_but_not_trained(bench, places, epochs):
    result = run_cell(cell(), places, HERE)
    edit_result(places, protocol_version=result.protocol_version - 1 or 99)
    again = run_cell(cell(), places, HERE)
    assert epochs == [0, 1]
    assert again.protocol_version == result.protocol_version
    assert len(list(places.results.rglob("*.json"))) == 2


def test_a_result_from_before_a_field_and_the_sources_were_recorded_is_finished(bench, places, epochs):
    """As results of the first release are: without a source, and without the recipe's younger fields."""
    result = run_cell(cell(), places, HERE)
    assert result.source == "version 1"
    recipe = {k: v for k, v in result.recipe.items() if k != "train_stride"}
    edit_result(places, source=None, recipe=recipe)
    found = run_cell(cell(), places, HERE)
    assert (epochs, found.source) == ([0, 1], "")
    run_cell(cell(train_stride=2), places, HERE)  # the field's default is what was done, nothing else
    assert len(epochs) == 4


def test_a_model_of_a_new_version_is_trained_anew(bench, places, epochs, monkeypatch):
    run_cell(cell(), places, HERE)
    edit_result(places, source=None)
    monkeypatch.setattr(resnet50, "INFO", dataclasses.replace(resnet50.INFO, version=2))
    assert run_cell(cell(), places, HERE).source == "version 2"
    assert epochs == [0, 1, 0, 1]
    run_cell(cell(), places, HERE)
    assert len(epochs) == 4


def test_runs_of_models_at_version_1_keep_the_keys_of_the_first_release(bench):
    """The digest as 0b8b4be computed it, in plain lines."""
    dataset = bench.splits[0]
    captions = json.dumps(sorted({(t.identity, t.captions) for t in dataset.train})).encode()
    facts = ["resnet50", "tiny", to_dict(RECIPE), dataset.fingerprint, hashlib.sha256(captions).hexdigest()[:16]]
    assert (
        cell_module.cell_key(cell(), dataset) == hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    )


def test_a_result_with_damaged_rows_is_left_out(bench, places, epochs, capsys):
    run_cell(cell(), places, HERE)
    edit_result(places, per_query=[{"query": 3}])
    run_cell(cell(), places, HERE)
    assert "Left out" in capsys.readouterr().err
    assert epochs == [0, 1]  # the run is there: only tested again


def test_the_store_is_read_once_for_many_cells(bench, places, monkeypatch):
    from reidkit.leaderboard import results

    cells = [cell(seed=seed, epochs=1) for seed in (0, 1)]
    run_cells(cells, places, HERE)
    read = []
    real = results.read_bytes
    monkeypatch.setattr(results, "read_bytes", lambda path, fix: read.append(path) or real(path, fix))
    results.open_store.__globals__["_store"].cache_clear()
    run_cells(cells * 3, places, HERE)
    assert len(read) == 2 + 6  # a summary a file, and the whole of what each cell found


def test_a_killed_runs_half_written_files_go_at_the_next_start(bench, places):
    folder = places.runs / "made-up" / "resnet50" / "seed0"
    folder.mkdir(parents=True)
    (folder / ".epoch-0001.safetensors.4711.tmp").write_bytes(b"half")
    run_cell(cell(epochs=1), places, HERE)
    assert not [path.name for path in folder.iterdir() if path.suffix == ".tmp"]


def test_a_run_json_of_absurd_numbers_ends_at_once(bench, places):
    """A million identities: seen by the shapes alone, before memory is taken."""
    run_cell(cell(epochs=1), places, HERE)
    path = places.runs / "made-up" / "resnet50" / "seed0" / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"classes": 1_000_000}))
    with pytest.raises(UsageError, match=r"'neck.classifier.weight' .* shape \[6, 128\] where .* \[1000000, 128\]"):
        open_run(path.parent)
    path.write_text(json.dumps(facts | {"recipe": facts["recipe"] | {"height": 10**7}}))
    with pytest.raises(UsageError, match="'10000000' is no value for the recipe key 'height'"):
        open_run(path.parent)


def test_an_empty_optimiser_file_costs_an_epoch_and_nothing_else(bench, places, monkeypatch, capsys):
    whole = run_cell(cell(epochs=3), dataclasses.replace(places, runs=places.runs / "whole"), HERE, again=True)
    real = loop._epoch

    def interrupted(*arguments):
        if arguments[5] == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell(epochs=3), places, HERE, again=True)
    monkeypatch.setattr(loop, "_epoch", real)
    folder = places.runs / "made-up" / "resnet50" / "seed0"
    (folder / "epoch-0002.optimiser.pt").write_bytes(b"")
    for path in places.results.rglob("*.json"):
        path.unlink()
    assert run_cell(cell(epochs=3), places, HERE).metrics == whole.metrics
    assert "Going on after epoch 1" in capsys.readouterr().err
    weights = [
        checkpoint.read_weights(places.runs / name / "made-up" / "resnet50" / "seed0" / "model.safetensors")
        for name in ("", "whole")
    ]
    assert all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
    assert [line["epoch"] for line in loop.read_log(folder / "log.jsonl")] == [1, 2, 3]


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
    trained = open_run(places.runs / "made-up" / "resnet50" / "seed0")
    assert trained.model.memory.shape == (len(bench.splits[0].train), 3)
    assert trained.model.memory.abs().sum() > 0
