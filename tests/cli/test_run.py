"""`reidkit run`, `evaluate`, `embed` and `models`, from the command line to the files."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import FAST, SMALL, call, run
from made_up import write_own
from PIL import Image

from reidkit.baselines import resnet50
from reidkit.datasets.benches import BENCHES, load_bench
from reidkit.leaderboard.results import load_results
from reidkit.training import experiment, zoo


def test_all_present_benches_run_and_the_absent_are_named(here, capsys):
    write_own(here / "data", "sports-vreid")
    write_own(here / "data", "dance-vreid", train=5, test=3)
    code, out, err = run(capsys, "resnet50", "--bench", "all", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [r["bench"] for r in found["results"]] == ["sports-vreid", "dance-vreid"]
    assert set(found["absent"]) == set(BENCHES) - {"sports-vreid", "dance-vreid"}
    for name in found["absent"]:
        assert f"Not here: {name}." in " ".join(err.split())
    assert len(list((here / "results").rglob("*.json"))) == 2
    assert (here / "runs" / "sports-vreid" / "resnet50" / "seed0" / "model.safetensors").is_file()


def test_no_bench_at_all_is_an_error(here, capsys):
    code, _, err = run(capsys, "resnet50", "--bench", "all")
    assert code == 1
    assert "No bench is present under 'data'" in err


def test_seeds_are_cells_and_finished_ones_are_skipped(here, capsys, monkeypatch):
    path = write_own(here, "mine")
    code, out, err = run(capsys, "resnet50", "--bench", path, "--seeds", "0,1")
    assert code == 0, err
    assert out.count("resnet50") == 2
    assert "mine" in out
    monkeypatch.setattr(experiment, "train_cell", None)  # nothing may train now
    code, again, err = run(capsys, "resnet50", "--bench", path, "--seeds", "0,1")
    assert code == 0, err
    assert again == out


def test_a_failing_cell_is_reported_and_the_others_go_on(here, capsys):
    good = write_own(here, "good")
    lonely = write_own(here, "lonely", train=1)  # one identity can't be trained on
    code, out, err = run(capsys, "resnet50", "--bench", f"{lonely},{good}", "--json")
    assert code == 1
    found = json.loads(out)
    assert [r["bench"] for r in found["results"]] == ["good"]
    assert len(found["failed"]) == 1
    assert "training needs at least 2" in found["failed"][0]["error"]
    assert "Failed: resnet50 tiny on lonely, seed 0" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet51", "--bench", "mars"], "Unknown model 'resnet51'. Known: resnet50"),
        (["resnet50", "--bench", "marz"], "Unknown bench 'marz'"),
        (["resnet50", "--bench", "mars"], "The bench 'mars' is not under 'data'"),
        (["resnet50", "--bench", "mars", "--set", "epoch=3"], "Did you mean 'epochs'?"),
        (["resnet50", "--bench", "mars", "--set", "epochs=x"], "'x' is no value"),
        (["resnet50", "--bench", "mars", "--seeds", "a"], "'a' is no list of seeds"),
        (["resnet50", "--bench", "mars", "--seeds", "0,-1"], "'-1' is no value for the recipe key 'seed'"),
        (["resnet50", "--bench", "mars", "--set", "epochs=-3"], "'-3' is no value for the recipe key 'epochs'"),
        (["resnet50/big", "--bench", "mars"], "Unknown variant of resnet50 'big'"),
        (["resnet50", "--bench", "mars", "--from-scratch", "--set", "pretrained=x.pth"], "contradict"),
        ([",", "--bench", "mars"], "names nothing"),
    ],
)
def test_wrong_usage_is_one_sentence(here, capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err


def test_absent_pretrained_weights_say_what_to_do(here, capsys, monkeypatch):
    monkeypatch.setenv("REIDKIT_WEIGHTS", str(here))
    monkeypatch.setenv("TORCH_HOME", str(here))
    path = write_own(here, "mine")
    options = ["--bench", path, "--device", "cpu", "--set", "layers=1,1,1,1", *FAST]
    code, _, err = call(capsys, "run", "resnet50", *options)
    assert code == 2
    assert "`reidkit weights get resnet50-imagenet1k-v1`" in err
    assert "--from-scratch" in err
    code, _, err = call(capsys, "run", "resnet50", *options, "--from-scratch")
    assert code == 0, err


def test_evaluate_gives_the_figures_of_the_run(trained, here, capsys):
    path, folder = trained
    (result,) = load_results(here / "results")[0]
    code, out, err = call(
        capsys, "evaluate", "resnet50", "--weights", folder, "--bench", path, "--device", "cpu", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["mAP"] == pytest.approx(result.metrics["mAP"], abs=1e-3)
    assert found["queries"] == result.queries
    code, out, err = call(
        capsys, "evaluate", "resnet50", "--weights", folder, "--bench", path, "--set", "test_flip=true"
    )
    assert code == 0, err
    assert "mine" in out


def test_evaluate_stores_its_result_apart_from_the_run(trained, here, capsys):
    path, folder = trained
    options = ["evaluate", "resnet50", "--weights", folder, "--bench", path, "--device", "cpu"]
    code, out, err = call(capsys, *options, "--json")
    assert code == 0, err
    assert "title" not in json.loads(out)
    results, problems = load_results(here / "results")
    assert not problems
    run_result, stored = sorted(results, key=lambda r: len(r.model))
    assert (run_result.model, stored.model, stored.size) == ("resnet50", "resnet50@mine", "tiny")
    assert json.loads(out)["stored"] == f"results/mine/resnet50@mine/{Path(json.loads(out)['stored']).name}"
    weights = (folder / "model.safetensors").read_bytes()
    assert stored.recipe["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert stored.metrics == pytest.approx(run_result.metrics, abs=1e-3)
    assert len(stored.per_query) == stored.queries
    # a second time is a second file; elsewhere, under another protocol
    code, out, err = call(capsys, *options, "--protocol", "mars", "--results", here / "other")
    assert code == 0, err
    (other,) = load_results(here / "other")[0]
    assert other.protocol == "mars"
    code, out, err = call(capsys, "table", "hard", "--format", "csv")
    assert code == 0, err
    assert "resnet50@mine" in out
    # and no run takes it for its own
    code, out, err = run(capsys, "resnet50", "--bench", path, "--json")
    assert code == 0, err
    assert json.loads(out)["results"][0]["model"] == "resnet50"


def test_evaluate_foreign_weights_lists_unmatched_names(trained, here, capsys):
    path, _ = trained
    recipe = zoo.recipe("resnet50", "tiny", SMALL)
    state = resnet50.build(dataclasses.replace(recipe), 9, 2).state_dict() | {"their.extra": torch.zeros(2)}
    del state["neck.norm.weight"]
    torch.save({"state_dict": state}, here / "theirs.pth")
    options = ["--size", "tiny", "--json", "--device", "cpu", *FAST]
    code, out, err = call(capsys, "evaluate", "resnet50", "--weights", here / "theirs.pth", "--bench", path, *options)
    assert code == 0, err
    found = json.loads(out)
    assert found["missing"] == ["neck.norm.weight"]
    assert found["unexpected"] == ["their.extra"]
    (stored,) = [r for r in load_results(here / "results")[0] if "@" in r.model]
    assert (stored.model, stored.recipe["weights"]) == ("resnet50@theirs", "theirs.pth")
    assert "neck.norm.weight" in err
    assert "their.extra" in err


@pytest.mark.parametrize(
    ("weights", "words"),
    [("absent.pth", "no weights at"), ("mine", "no folder that `reidkit run` wrote"), ("evil.pth", "refused")],
)
def test_evaluate_bad_weights(trained, here, capsys, weights, words):
    class Payload:
        def __reduce__(self):
            return open, (str(here / "executed"), "w")

    torch.save({"x": Payload()}, here / "evil.pth")
    code, _, err = call(capsys, "evaluate", "resnet50", "--weights", here / weights, "--bench", trained[0])
    assert code == 2
    assert words in " ".join(err.split())
    assert not (here / "executed").exists()


def test_embed_writes_what_score_reads(trained, here, capsys):
    path, folder = trained
    out = here / "features.npz"
    code, _, err = call(capsys, "embed", "resnet50", "--weights", folder, path, "-o", out, "--device", "cpu")
    assert code == 0, err
    found = np.load(out, allow_pickle=False)
    dataset = load_bench(str(path))
    assert found["ids"].tolist() == [t.id for t in dataset.test]
    assert found["pids"].tolist() == [t.identity for t in dataset.test]
    assert found["is_query"].all()
    assert found["features"].shape == (len(dataset.test), 128)
    code, text, err = call(capsys, "score", out, "--protocol", "video-reid", "--json")
    assert code == 0, err
    (result,) = load_results(here / "results")[0]
    assert json.loads(text)["mAP"] == pytest.approx(result.metrics["mAP"], abs=1e-3)


def test_embed_a_folder_of_crops(trained, here, capsys):
    crops = here / "crops"
    (crops / "b").mkdir(parents=True)
    for name in ("b/2.jpg", "b/1.jpg", "a.png"):
        Image.new("RGB", (20, 40), (200, 30, 30)).save(crops / name)
    (crops / "notes.txt").write_text("no image")
    out = here / "f.npz"
    code, _, err = call(capsys, "embed", "resnet50", "--weights", trained[1], crops, "-o", out, "--device", "cpu")
    assert code == 0, err
    found = np.load(out, allow_pickle=False)
    assert found["ids"].tolist() == ["a.png", "b"]
    assert found["pids"].tolist() == [-1, -1]
    assert not found["is_query"].any()
    code, _, err = call(capsys, "embed", "resnet50", "--weights", trained[1], here / "nothing", "-o", out)
    assert code == 2
    assert "There is no folder" in err


def test_an_epoch_is_chosen_on_identities_held_out(here, capsys):
    path = write_own(here, "mine", train=6)
    code, out, err = run(capsys, "resnet50", "--bench", path, "--validate", "0.4")
    assert code == 0, err
    assert "were held out (mAP" in " ".join(out.split())
    code, out, err = run(capsys, "resnet50", "--bench", path, "--validate", "0.4", "--json")
    assert code == 0, err
    (origin,) = json.loads(out)["results"][0]["weights"]
    assert len(origin["chosen"]["identities"]) == 2
    assert origin["dataset"] == "mine"
    model = here / "runs" / "mine" / "resnet50" / "seed0" / "model.safetensors"
    assert origin["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--validate", "0"], "--validate"),
        (["--validate", "1"], "--validate"),
        (["--validate", "0.1"], "Give a larger share"),
        (["--validate-every", "2"], "give both"),
    ],
)
def test_a_share_that_is_none_is_refused(here, capsys, arguments, words):
    path = write_own(here, "mine")
    code, out, err = run(capsys, "resnet50", "--bench", path, *arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())


def test_start_weights_are_known_by_their_bytes(here, capsys):
    path, file = write_own(here, "mine"), here / "start.pth"
    recipe = zoo.recipe("resnet50", "tiny", [a for a in SMALL if "=" in a])
    torch.save(resnet50.build(recipe, 3, 2).backbone.state_dict(), file)
    code, out, err = run(capsys, "resnet50", "--bench", path, "--set", f"pretrained={file}", "--json")
    assert code == 0, err
    (origin,) = json.loads(out)["results"][0]["weights"]
    assert origin["start"] == [{"name": "start.pth", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}]
