"""The README followed to the letter, in its order, on a small rendered match: every command runs.

What can't be had here is replaced or left out, as `REPLACED` and `LEFT_OUT` say with the reason. A command that neither
of them names runs as it stands.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from caption_server import reply, serving
from command_line import call
from documents import code_lines, commands

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
ASSETS = ROOT / "toolkit" / "assets"

LEFT_OUT = {
    "evaluate tfclip --weights TF-CLIP_MARS.pth --bench mars": "neither the authors' file nor MARS may be passed on",
    "review raw-dataset": "it serves until somebody stops it; the review's own tests do so in a browser",
}

SMALL = "epochs=1 warmup_epochs=0 height=64 width=32 pad=2 frames=2 test_frames=2 identities=2 tracklets=2"
TINY = " --size tiny --device cpu --workers 0 " + " ".join(f"--set {key}" for key in SMALL.split())
REPLACED = (  # what stands in a command, what is run in its place, and why; one after the other
    (r"get yolo11m\.pt clip", "get 'simulated detector' 'tiny CLIP'", "390 MB; these ship"),
    (r"get yolox_m\.onnx \S+", "get 'simulated embedder'", "100 MB; it ships"),
    (r"(?<=^build-dataset raw/)$", " --detector simulated --embedder simulated", "the default weights aren't here"),
    (r"yolox_m\.onnx", str(ASSETS / "detector.onnx"), "it isn't here; this is a file in ONNX, too"),
    (r"person_reid_youtu_2021nov\.onnx", str(ASSETS / "embedder.onnx"), "likewise"),
    (r"http://127\.0\.0\.1:8000/v1", "{server}", "a server of the test's own answers"),
    (r"(?<=--bench )mars", "raw-dataset", "MARS may not be passed on; the match that was built stands in"),
    (r"runs/mars/", "runs/raw-dataset/", "likewise"),
    (r"TRACKLET", "{tracklet}", "a reader takes one of theirs"),
    (r"--folds 5", "--test-share 0.5", "the match has two events, and folds would be trained one by one"),
    (r"--seeds 0,1,2", "--seeds 0,1", "time"),
    (r"--validate 0\.1", "--validate 0.5", "the match has few people to hold out"),
    (r"^run .*", r"\g<0>" + TINY, "time"),
)


def replaced(command: str, **values: str) -> str:
    """The command that is run in place of the README's."""
    for pattern, instead, _ in REPLACED:
        command = re.sub(pattern, instead, command)
    for name, value in values.items():
        command = command.replace("{" + name + "}", value)
    return command


def shown() -> list[str]:
    return [shlex.join(words) for words in commands(README)]


def test_the_lists_are_about_commands_that_the_readme_shows():
    assert len(shown()) >= 18
    assert set(LEFT_OUT) <= set(shown())
    for place, (pattern, _, _) in enumerate(REPLACED):
        before = shown()
        for earlier, instead, _ in REPLACED[:place]:
            before = [re.sub(earlier, instead, command) for command in before]
        assert any(re.search(pattern, command) for command in before), f"no command holds {pattern} any more"


def test_the_targets_of_make_exist():
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    wanted = {line.split()[1] for line in code_lines(README) if line.startswith("make ")}
    assert wanted
    assert wanted <= targets


@pytest.fixture
def footage(tmp_path, monkeypatch, capsys) -> Path:
    """A working folder with what a reader brings: footage, features, a model of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("REIDKIT_DATA", "REIDKIT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    size = "--events 2 --people 4 --cameras 2 --seconds 4 --fps 10 --size 320x180 --jobs 1"
    code, _, err = call(capsys, "simulate", "raw", *size.split())
    assert code == 0, err
    shutil.copytree("raw/sports01", "RAW/sports01")
    document = (ROOT / "docs" / "your-model.md").read_text(encoding="utf-8")
    Path("path/to").mkdir(parents=True)
    Path("path/to/my_model.py").write_text(re.search(r"```python\n(.*?)```", document, re.DOTALL)[1], encoding="utf-8")
    features = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    people, cameras = np.repeat(np.arange(1, 5), 2), np.tile([0, 1], 4)
    np.savez("features.npz", features=features, pids=people, camids=cameras, is_query=cameras == 0)
    return tmp_path


def test_every_command_of_the_readme_runs(footage, capsys):
    with serving() as start:
        values, ran = {"server": start(reply()).url}, []
        for command in shown():
            if command in LEFT_OUT:
                continue
            line = replaced(command, **values)
            code, _, err = call(capsys, *shlex.split(line))
            assert code == 0, f"`reidkit {command}`, run as `reidkit {line}`, ended with {code}:\n{err}"
            ran.append(command)
            if command.startswith("check "):  # the dataset is there: it is a tracklet's, and a bench that `all` finds
                tracklets = pl.read_parquet("raw-dataset/tracklets.parquet")
                values["tracklet"] = tracklets.filter(role="query")["id"][0]
                shutil.copytree("raw-dataset", "data/sports-vreid")
    assert len(ran) == len(shown()) - len(LEFT_OUT)
    for written in ("sheet.jpg", "raw-dataset/captions.jsonl", "OUT/dataset.json", "report.html", "features.npz"):
        assert (footage / written).stat().st_size > 0
