"""`reidkit score` on good and bad files, as a user runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from command_line import call

GOOD = {
    "features": np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 1]], np.float32),
    "pids": np.array([1, 1, 2, 2]),
    "camids": np.array([0, 1, 0, 1]),
    "is_query": np.array([True, False, True, False]),
}


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of a command line."""
    return call(capsys, "score", *arguments)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "features.npz"

    def write(**changes):
        arrays = {k: v for k, v in (GOOD | changes).items() if v is not None}
        np.savez(path, **arrays)
        return path

    return write


@pytest.mark.parametrize("rerank", [False, True])
def test_json_is_one_object_with_the_promised_keys(capsys, written, rerank):
    code, out, _ = run(capsys, written(), "--protocol", "mars", "--json", *(["--rerank"] if rerank else []))
    found = json.loads(out)
    assert code == 0
    assert {"mAP", "R1", "R5", "R10", "R20", "queries", "skipped", "protocol"} <= set(found)
    assert (found["R1"], found["queries"], found["skipped"], found["protocol"]) == (100, 2, 0, "mars")
    assert found["rerank"] is rerank


def test_re_ranked_figures_are_marked(capsys, written):
    assert "re-ranked" in run(capsys, written(), "--protocol", "mars", "--rerank")[1]
    assert "re-ranked" not in run(capsys, written(), "--protocol", "mars")[1]


def test_open_set_figures_or_why_there_are_none(capsys, tmp_path, written):
    shown = run(capsys, written(), "--protocol", "mars")[1]
    assert "4 pairs of different people are too few; 1,000 are needed." in shown
    found = json.loads(run(capsys, written(), "--protocol", "mars", "--json")[1])["open_set"]
    assert (found["positives"], found["negatives"], found["points"][0]["tpr"]) == (2, 4, None)
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(1, 31), 2)
    arrays = {"pids": pids, "camids": np.tile([0, 1], 30), "is_query": np.ones(60, bool)}
    np.savez(
        tmp_path / "many.npz", features=rng.normal(size=(30, 6))[pids - 1] + 0.1 * rng.normal(size=(60, 6)), **arrays
    )
    points = json.loads(run(capsys, tmp_path / "many.npz", "--protocol", "mars", "--json")[1])["open_set"]["points"]
    assert points[0]["tpr"] > 90
    assert points[0]["threshold"] > 0
    assert points[1]["threshold"] is None
    assert "1e-2" in run(capsys, tmp_path / "many.npz", "--protocol", "mars")[1]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pids": None}, "lacks pids"),
        ({"features": np.ones(3, np.float32)}, "[N, D]"),
        ({"features": np.ones((4, 2), np.int64)}, "float"),
        ({"features": np.full((4, 2), np.nan, np.float32)}, "NaN"),
        ({"features": np.zeros((4, 2), np.float32)}, "all zero"),
        ({"pids": np.array([1, 2, 3])}, "[3]"),
        ({"pids": np.array(["a", "b", "c", "d"])}, "integers"),
        ({"is_query": np.zeros(4, bool)}, "no true entry"),
        ({"is_query": np.zeros(4, np.int64)}, "bool"),
        ({"pids": np.array([1, 1, 2, {}], object)}, "unpickle"),
        ({"features": GOOD["features"].astype(np.float64) * 1e300}, "no distance can be taken"),
        ({"kinds": np.array(["person", "\x1b[31m", "person", "person"])}, "kind '\\x1b[31m'"),
    ],
)
def test_a_bad_file_is_one_sentence_and_exit_two(capsys, written, changes, word):
    code, out, err = run(capsys, written(**changes), "--protocol", "mars", "--json")
    assert (code, out) == (2, "")
    assert word in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("device", "words"), [("foo", "'foo' is no device"), ("cuda:99", "There is no 'cuda:99' here"), ("meta", "'meta'")]
)
def test_a_device_that_is_not_here_is_one_sentence(capsys, written, device, words):
    code, out, err = run(capsys, written(), "--protocol", "mars", "--device", device)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_pid_0_is_a_distractor_under_the_protocols_of_mars_alone(capsys, written):
    path = written(pids=np.array([0, 0, 2, 2]))
    for name, queries in (("mars", 1), ("video-reid", 2)):
        found = json.loads(run(capsys, path, "--protocol", name, "--json")[1])
        assert (found["queries"], found["skipped"]) == (queries, 2 - queries)
    path = written(kinds=np.array(["person", "person", "distractor", "person"]))
    found = json.loads(run(capsys, path, "--protocol", "video-reid", "--json")[1])
    assert (found["queries"], found["skipped"]) == (1, 1)


def test_a_pickle_is_not_executed(capsys, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path = tmp_path / "bomb.npz"
    np.savez(path, **(GOOD | {"camids": np.array([Bomb()] * 4, object)}))
    assert run(capsys, path, "--protocol", "mars")[0] == 2
    assert not (tmp_path / "executed").exists()


def test_every_cut_of_the_file_is_exit_two(capsys, written, tmp_path):
    whole = written().read_bytes()
    for length in range(0, len(whole), 97):
        path = tmp_path / "cut.npz"
        path.write_bytes(whole[:length])
        assert run(capsys, path, "--protocol", "mars", "--json")[0] == 2


@pytest.mark.parametrize("name", ["absent.npz", "text.npz", "array.npy", "folder.npz"])
def test_no_npz(capsys, tmp_path, name):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "folder.npz").mkdir()
    code, _, err = run(capsys, tmp_path / name, "--protocol", "mars")
    assert code == 2
    assert name in err


def test_unknown_names_list_the_known(capsys, written):
    assert "mars-torchreid" in run(capsys, written(), "--protocol", "marz")[2]
    assert "euclidean" in run(capsys, written(), "--protocol", "mars", "--metric", "l1")[2]


def test_scoring_does_not_wait_for_torch(written):
    """On the CPU neither the command nor its help imports torch."""
    code = (
        "import sys; from reidkit.cli.score import score; "
        f"score.main([{str(written())!r}, '--protocol', 'mars', '--json'], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
