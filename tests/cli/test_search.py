"""`reidkit search`, from the command line to the list and the page."""

import json

import numpy as np
import pytest
from command_line import call
from PIL import Image

from reidkit.datasets.benches import load_bench
from reidkit.leaderboard import openset
from reidkit.leaderboard.results import load_results


def ask(capsys, run, source, *arguments):
    common = ("--device", "cpu", "--workers", 0)
    return call(capsys, "search", "resnet50", "--weights", run, source, *arguments, *common)


def test_the_list_is_that_of_the_result(trained, here, capsys):
    (result,), _ = load_results(here / "results")
    dataset = load_bench(str(trained[0]))
    identity = {t.id: t.identity for t in dataset.test}
    for row in result.per_query[:3]:
        code, out, err = ask(capsys, trained[1], trained[0], "--query", row.query, "--json")
        assert code == 0, err
        told = json.loads(out)
        assert [s["tracklet"] for s in told["top"]] == row.top
        assert [s["rank"] for s in told["top"]] == list(range(1, len(row.top) + 1))
        assert [s["verdict"] == "right" for s in told["top"]] == [identity[i] == row.identity for i in row.top]
        assert told["top"][row.rank - 1]["verdict"] == "right"
        distances = [s["distance"] for s in told["top"]]
        assert distances == sorted(distances)


def test_table_and_page(trained, here, capsys):
    dataset = load_bench(str(trained[0]))
    query = dataset.query[0]
    page = here / "found.html"
    code, out, err = ask(capsys, trained[1], trained[0], "--query", query.id, "--top", 3, "-o", page)
    assert code == 0, err
    assert f"Nearest to {query.id}, identity {query.identity}" in out
    assert out.count("wrong") + out.count("right") == 3
    html = page.read_text()
    assert html.count("data:image/jpeg") == 4  # the query and three
    assert "<script" in html
    assert "right: the query's identity" in html.replace("&#39;", "'")


def test_a_training_tracklet_is_looked_for_among_the_training_tracklets(trained, here, capsys):
    dataset = load_bench(str(trained[0]))
    code, out, err = ask(capsys, trained[1], trained[0], "--query", dataset.train[0].id, "--json", "--top", 1000)
    assert code == 0, err
    found = {s["tracklet"] for s in json.loads(out)["top"]}
    assert found == {t.id for t in dataset.train} - {dataset.train[0].id}


def test_a_folder_of_crops_has_no_verdicts(trained, here, capsys):
    for number, name in enumerate(("a/1.jpg", "a/2.jpg", "b/1.jpg", "c.png")):
        path = here / "crops" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 40), (200, 60 * number, 30)).save(path)
    page = here / "found.html"
    code, out, err = ask(capsys, trained[1], here / "crops", "--query", "a", "--json", "-o", page)
    assert code == 0, err
    told = json.loads(out)
    assert {s["tracklet"] for s in told["top"]} == {"b", "c.png"}
    assert {(s["verdict"], s["identity"], s["camera"]) for s in told["top"]} == {("unknown", None, "")}
    assert page.read_text().count("data:image/jpeg") == 3
    assert ask(capsys, trained[1], here / "crops", "--query", "a")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--query", "p7c"], "no tracklet 'p7c' among its"),
        (["--query", "p7c0", "-o", "found.png"], "End it in .html"),
        (["--query", "p7c0", "--top", "0"], "--top"),
        ([], "--query"),
    ],
)
def test_wrong_usage_is_one_sentence(trained, here, capsys, arguments, words):
    code, out, err = ask(capsys, trained[1], trained[0], *arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())


def test_stored_features_give_the_same_list_without_a_model(trained, here, capsys):
    dataset, file = load_bench(str(trained[0])), here / "features.npz"
    common = ("--device", "cpu", "--workers", 0)
    code, _, err = call(capsys, "embed", "resnet50", "--weights", trained[1], trained[0], "-o", file, *common)
    assert code == 0, err
    query = ("--query", dataset.query[0].id, "--top", 20, "--json")
    _, by_weights, _ = ask(capsys, trained[1], trained[0], *query)
    code, by_features, err = call(capsys, "search", "resnet50", "--features", file, trained[0], *query)
    assert code == 0, err
    told = call(capsys, "search", "resnet50", "--features", file, trained[0], *query[:-1])[2]
    assert "isn't said without --result" in " ".join(told.split())
    assert "these weights" not in told  # none were given
    first, second = json.loads(by_weights)["top"], json.loads(by_features)["top"]
    assert [s["tracklet"] for s in second] == [s["tracklet"] for s in first]
    assert [s["distance"] for s in second] == pytest.approx([s["distance"] for s in first], abs=1e-6)


def test_stored_features_that_do_not_fit_are_refused(trained, here, capsys):
    dataset, file = load_bench(str(trained[0])), here / "some.npz"
    query = dataset.query[0].id

    def refused(*arguments):
        code, out, err = call(capsys, "search", "resnet50", trained[0], "--query", query, *arguments)
        assert (code, out) == (2, "")
        return " ".join(err.split())

    np.savez(file, features=np.ones((1, 4), np.float32), ids=np.array([query]))
    assert "lacks" in refused("--features", file)
    assert "--part train" in refused("--features", file)
    np.savez(file, features=np.full((1, 4), np.nan, np.float32), ids=np.array([query]))
    assert f"NaN or infinity in the feature of '{query}'" in refused("--features", file)
    np.savez(file, features=np.ones(4, np.float32), ids=np.array([query]))
    assert "they must be floats [N, D]" in refused("--features", file)
    np.savez(file, features=np.ones((1, 4), np.float32))
    assert "lacks ids" in refused("--features", file)
    assert "either --weights" in refused()
    assert "either --weights" in refused("--weights", trained[1], "--features", file)


@pytest.fixture
def thresholds(monkeypatch):
    """A negative pair is enough for a rate of 1e-2 at a small test set."""
    monkeypatch.setattr(openset, "NEGATIVES_A_RATE", 0.1)


def test_it_says_who_is_likely_the_same_person(thresholds, trained, here, capsys):
    (result,), _ = load_results(here / "results")
    points = {point.fpr: point for point in result.open_set[0].points}
    assert points[1e-2].threshold is not None
    query = load_bench(str(trained[0])).query[0].id
    page = here / "found.html"
    code, out, err = ask(capsys, trained[1], trained[0], "--query", query, "--json", "-o", page)
    assert code == 0, err
    told = json.loads(out)
    assert told["measured"]["bench"] == "mine"
    for found in told["top"]:
        inside = found["distance"] <= points[1e-2].threshold * (1 + 1e-6)
        assert (found["same_person"]["point"] is not None) == inside
    assert "Same person up to a distance of" in page.read_text()
    shown = ask(capsys, trained[1], trained[0], "--query", query)[1]
    assert "same person?" in shown
    assert "measured on mine (video-reid" in shown
    assert "guesses" not in shown
    (here / "crops").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (20, 40)).save(here / "crops" / f"{name}.png")
    assert "the rates are guesses here" in ask(capsys, trained[1], here / "crops", "--query", "a.png")[1]


def test_without_thresholds_it_says_so_and_a_result_that_does_not_fit_is_refused(trained, here, capsys):
    query = ("--query", load_bench(str(trained[0])).query[0].id)
    code, out, err = ask(capsys, trained[1], trained[0], *query)
    assert code == 0
    assert "same person?" not in out
    assert "who is likely the same person isn't said" in " ".join(err.split())
    (path,) = (here / "results").rglob("*.json")
    code, out, err = ask(capsys, trained[1], trained[0], *query, "--result", path)
    assert (code, out) == (2, "")
    assert "pairs of different people are too few" in " ".join(err.split())
    code, _, err = ask(capsys, trained[1], trained[0], *query, "--result", here / "absent.json")
    assert code == 2
