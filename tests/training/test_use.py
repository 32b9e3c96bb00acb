"""Models used from Python: which split a run is used on, and names of benches and models in every place."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from reidkit.datasets import UsageError
from reidkit.datasets.benches import load_bench
from reidkit.datasets.ilids import read_ilids
from reidkit.training.run_folder import read_facts
from reidkit.training.use import embed, evaluate, search, split_of_run, train

PEOPLE = [f"person{k:03d}" for k in range(6)]
OVERRIDES = ["backbone_width=4", "height=32", "width=16", "frames=2", "test_frames=2", "identities=3", "epochs=1"]


@pytest.fixture
def data(tmp_path):
    """iLIDS-VID of six people, with ten splits, as its release lays it out."""
    root = tmp_path / "data" / "ilids-vid"
    rng = np.random.default_rng(0)
    for camera in ("cam1", "cam2"):
        for person in PEOPLE:
            folder = root / "i-LIDS-VID" / "sequences" / camera / person
            folder.mkdir(parents=True)
            for frame in range(3):
                pixels = rng.integers(0, 255, (32, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{camera}_{person}_{frame:05d}.png")
    splits = root / "train-test people splits"
    splits.mkdir()
    orders = np.array([np.random.default_rng(k).permutation(6) + 1 for k in range(10)])
    savemat(splits / "train_test_splits_ilidsvid.mat", {"ls_set": orders.astype(np.uint16)})
    return tmp_path / "data"


@pytest.fixture
def run(data, tmp_path):
    """A run of the fourth split alone."""
    places = {"data": data, "results": tmp_path / "results", "runs": tmp_path / "runs"}
    train("resnet50", "ilids-vid", size="tiny", overrides=OVERRIDES, split=3, device="cpu", workers=0, **places)
    return tmp_path / "runs" / "ilids-vid" / "resnet50" / "seed0" / "split3"


def test_a_run_is_used_on_the_split_that_it_was_trained_on(data, run, tmp_path, capsys):
    """The test set of another split has people that the run was trained on."""
    fourth = read_ilids(data / "ilids-vid", 3)
    assert split_of_run("ilids-vid", data, run) == 3
    options = {"data": data, "device": "cpu", "workers": 0}
    features = embed("resnet50", run, "ilids-vid", **options)
    assert [t.id for t in features.tracklets] == [t.id for t in fourth.test]
    trained_on = {t.id for t in fourth.train}
    assert not trained_on & {t.id for t in features.tracklets}
    query = fourth.query[0].id
    found = search("resnet50", run, "ilids-vid", query, **options)
    assert {match.tracklet.id for match in found.matches} == {t.id for t in fourth.gallery}
    tested = evaluate("resnet50", run, "ilids-vid", results=tmp_path / "results", **options)
    assert tested.result.fingerprint == fourth.fingerprint == read_facts(run).dataset.fingerprint
    assert "testing split 0" not in capsys.readouterr().err
    # another one, where it is asked for
    assert [t.id for t in embed("resnet50", run, "ilids-vid", split=5, **options).tracklets] == [
        t.id for t in read_ilids(data / "ilids-vid", 5).test
    ]


@pytest.mark.parametrize("bench", ["ilids-vid", "ilids-vid-tfclip"])
def test_variants_of_a_bench_are_accepted_wherever_benches_are(data, run, tmp_path, bench, capsys):
    options = {"data": data, "device": "cpu", "workers": 0, "split": 0}
    swapped = load_bench(bench, data)
    assert [t.id for t in embed("resnet50", run, bench, **options).tracklets] == [t.id for t in swapped.test]
    assert search("resnet50", run, bench, swapped.query[0].id, **options).gallery.dataset.name == swapped.name
    assert evaluate("resnet50", run, bench, results=tmp_path / "results", **options).result.bench == bench


def test_the_first_split_is_said_where_no_run_tells(data, run, capsys):
    assert split_of_run("ilids-vid-tfclip", data, run) == 0
    assert capsys.readouterr().err == ""  # it has one
    (run / "run.json").unlink()
    assert split_of_run("ilids-vid", data, run) == 0
    assert "ilids-vid: testing split 0 of 10" in " ".join(capsys.readouterr().err.split())
    assert split_of_run(str(data), data, run) == 0
    assert capsys.readouterr().err == ""


def test_saved_features_are_what_score_reads(data, run, tmp_path):
    from reidkit.leaderboard.features import read_features

    features = embed("resnet50", run, "ilids-vid", data=data, device="cpu", workers=0)
    features.save(tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz", allow_pickle=False) as stored:
        assert set(stored) == {"features", "pids", "camids", "is_query", "kinds", "outfits", "ids"}
        assert stored["is_query"].sum() == 3
    assert read_features(tmp_path / "features.npz")
    np.testing.assert_allclose(np.linalg.norm(features.values, axis=1), 1, atol=1e-5)


def test_weights_or_features_and_not_both(data, run):
    for weights, stored in ((None, None), (run, "features.npz")):
        with pytest.raises(UsageError, match=r"either --weights, .* or --features"):
            search("resnet50", weights, "ilids-vid", "cam1/person000", features=stored, data=data)


def test_what_could_not_be_stored_is_refused_before_any_work(data, run, tmp_path, monkeypatch):
    from reidkit.training import use

    monkeypatch.setattr(use, "score_model", None)
    options = {"data": data, "device": "cpu", "workers": 0, "results": tmp_path / "results"}
    with pytest.raises(UsageError, match="Unknown protocol 'marz'"):
        evaluate("resnet50", run, "ilids-vid", protocol="marz", **options)
