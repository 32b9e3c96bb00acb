"""`docs/your-model.md` followed to the letter at a tiny scale: run, evaluate, embed, search, build; edit, run again."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from coloured import paint
from command_line import call
from made_up import write_own

from reidkit.leaderboard.results import load_results
from reidkit.training.run_folder import read_facts

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "your-model.md"
SMALL = ["height=32", "width=16", "test_frames=4", "pad=2", "identities=3", "tracklets=2", "epochs=1"]
FAST = ["--size", "tiny", "--device", "cpu", "--workers", "0", *[part for o in SMALL for part in ("--set", o)]]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The document's file, in a folder of its own; the working folder is another."""
    path = tmp_path / "models" / "my_model.py"
    path.parent.mkdir()
    path.write_text(re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1])
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("REIDKIT_DATA", raising=False)
    return path


def footage(raw: Path) -> Path:
    """Two annotated clips of one video, as SportsMOT has them: the boxes and who is in them are given."""
    for clip, people in (("c001", (1, 2, 3)), ("c002", (3, 2, 1))):
        folder = raw / f"v_game_{clip}"
        (folder / "img1").mkdir(parents=True)
        (folder / "gt").mkdir()
        lines = []
        for index in range(12):
            image, boxes = paint(people, index, camera=int(clip[-1]))
            cv2.imwrite(str(folder / "img1" / f"{index + 1:06d}.jpg"), image[..., ::-1])
            lines += [f"{index + 1},{p},{x},{y},{w},{h},1,1,1" for p, (x, y, w, h) in boxes.items()]
        (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=10\nseqLength=12\nimExt=.jpg"
        )
    return raw


def done(capsys, *arguments):
    code, out, err = call(capsys, *arguments)
    assert code == 0, err
    return out


def test_the_document_followed_to_the_letter(file, tmp_path, capsys):
    bench = write_own(tmp_path, "mine")
    first = json.loads(done(capsys, "run", file, "--bench", bench, *FAST, "--json"))["results"][0]
    run = Path("runs/mine/my_model/seed0")
    assert first["model"] == "my_model"
    assert read_facts(run).file == str(file)

    for model in (file, "my_model"):  # by its file, or as its runs are titled
        options = [model, "--weights", run]
        tested = json.loads(done(capsys, "evaluate", *options, "--bench", bench, "--device", "cpu", "--json"))
        assert tested["mAP"] == pytest.approx(first["metrics"]["mAP"], abs=1e-3)
        done(capsys, "embed", *options, bench, "-o", "features.npz", "--device", "cpu")
        with np.load("features.npz") as features:
            assert features["features"].shape == (8, 256)
            query = str(features["ids"][0])
        found = json.loads(done(capsys, "search", *options, bench, "--query", query, "--device", "cpu", "--json"))
        assert len(found["top"]) == 7

    raw = footage(tmp_path / "raw")
    built = json.loads(done(capsys, "build-dataset", raw, "-o", "built", "--embedder", run, "--workers", "1", "--json"))
    assert built["counts"]["identities"] == 3

    # edited and run again: a second result, and the first run is no embedder any more
    file.write_text(file.read_text().replace(".mean(1)", ".amax(1)"))
    again = json.loads(done(capsys, "run", file, "--bench", bench, *FAST, "--json"))["results"][0]
    results = [r for r in load_results("results")[0] if r.model == "my_model"]
    assert len({r.source for r in results}) == len(results) == 2
    assert again["seconds"] in [r.seconds for r in results]
    assert len(list(Path("runs/mine/my_model").iterdir())) == 2
    code, _, err = call(capsys, "build-dataset", raw, "-o", "other", "--embedder", run, "--workers", "1")
    assert code == 2
    assert f"'{file}' was edited since '{run}' was trained with it" in " ".join(err.split())


def test_a_file_that_exits_does_not_end_the_command_as_if_all_were_well(file, tmp_path, capsys):
    file.write_text(file.read_text() + "\nimport sys\nsys.exit(0)\n")
    code, out, err = call(capsys, "run", file, "--bench", write_own(tmp_path, "mine"), *FAST)
    last = len(file.read_text().splitlines())
    assert (code, out) == (2, "")
    assert f"'{file}', line {last}: it ends the program (sys.exit)." in " ".join(err.split())
