"""`reidkit models`: what is listed, and what `--measure` stores for `reidkit table complexity`."""

import json
from pathlib import Path

import pytest

from reidkit.cli import main as cli
from reidkit.leaderboard import complexity
from reidkit.training import zoo


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "MODULES", {"resnet50": "..baselines.resnet50", "ap3d": "..baselines.ap3d"})
    return tmp_path


def call(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    try:
        cli.main([str(a) for a in arguments])
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    out = capsys.readouterr()
    return code, out.out, out.err


def resnet50_gigaflops(frames: int, height: int, width: int) -> float:
    """ResNet-50 with last stride 1 by hand: two a multiply-add of every convolution."""

    def conv(cin, cout, kernel, rows, columns):
        return cin * cout * kernel * kernel * rows * columns

    h, w = height // 2, width // 2
    total = conv(3, 64, 7, h, w)
    h, w, cin = h // 2, w // 2, 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for block in range(blocks):
            stride = 2 if block == 0 and stage in (1, 2) else 1
            total += conv(cin, inner, 1, h, w)
            h, w = h // stride, w // stride  # the 3x3 carries the stride
            total += conv(inner, inner, 3, h, w) + conv(inner, 4 * inner, 1, h, w)
            if block == 0:
                total += conv(cin, 4 * inner, 1, h, w)
            cin = 4 * inner
    return 2 * frames * total / 1e9


def test_sizes_and_operations_are_listed(here, capsys):
    code, out, err = call(capsys, "models", "--json")
    assert code == 0, err
    row, other = json.loads(out)["models"]
    assert (row["name"], other["name"]) == ("resnet50", "ap3d")
    assert row["parameters"]["full"] == 23_508_032 + 2 * 2048 + 625 * 2048  # torchvision's backbone, neck, classifier
    assert row["gflops"]["full"] == pytest.approx(resnet50_gigaflops(4, 256, 128), rel=1e-6)
    assert row["frames"]["full"] == 4
    code, out, _ = call(capsys, "models")
    assert code == 0
    for word in ("resnet50", "AP3D", "ECCV 2020", "within 1e-4", "no code to compare with", "ap3d/no-alignment"):
        assert word in " ".join(out.split())


def test_what_is_measured_is_in_the_complexity_table(here, capsys):
    options = ["--size", "tiny", "--device", "cpu", "--results", here / "found"]
    code, out, err = call(capsys, "models", "--measure", "all", *options, "--json")
    assert code == 0, err
    assert [cost["model"] for cost in json.loads(out)["measured"]] == ["resnet50", "ap3d"]
    costs, problems = complexity.load(here / "found")
    assert not problems
    recipe = zoo.recipe("ap3d", "tiny")
    assert costs[0].clip == (recipe.test_frames, 3, recipe.clip.height, recipe.clip.width)
    code, out, err = call(capsys, "table", "complexity", "--results", here / "found", "--format", "csv")
    assert code == 0, err
    assert "ap3d (tiny)" in out
    assert "resnet50 (tiny)" in out


def test_one_name_and_a_variant(here, capsys):
    code, out, err = call(capsys, "models", "--measure", "ap3d/no-alignment", "--size", "tiny", "--device", "cpu")
    assert code == 0, err
    assert "ap3d/no-alignment" in out
    assert (here / "results" / "complexity" / "ap3d" / "no-alignment-tiny.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--measure", "resnet50,resnet51"], "Unknown model 'resnet51'"),
        (["--measure", "resnet50", "--size", "huge"], "Unknown size of resnet50 'huge'"),
        (["--measure", ","], "names nothing"),
    ],
)
def test_wrong_names_are_one_sentence_and_nothing_is_stored(here, capsys, arguments, words):
    code, out, err = call(capsys, "models", *arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert not (here / "results").exists()


def test_parity_is_claimed_where_the_committed_table_shows_it():
    root = Path(__file__).resolve().parents[2]
    rows = (root / "benchmarks" / "results" / "parity.md").read_text().splitlines()
    shown = {row.split("|")[1].strip() for row in rows if row.endswith("| holds |")}
    assert shown == {folder.name for folder in (root / "tests" / "golden").iterdir() if folder.is_dir()}
    for name in zoo.MODULES:
        assert bool(zoo.module(name).INFO.parity) == (name in shown), name
