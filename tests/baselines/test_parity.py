"""The parity script itself: its rule, what it reports, and that it fails when it should."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "fill.py"
ENTRIES = [
    ("layer.weight", (4, 3, 2, 2)),  # a kernel: over the root of its fan-in
    ("norm.weight", (5,)),  # a gain
    ("norm.bias", (5,)),
    ("norm.running_mean", (5,)),
    ("norm.running_var", (5,)),
    ("norm.num_batches_tracked", ()),
    ("class_embedding", (5,)),
    ("scale", ()),
]


# the sums of what `fill` gives, written down from the files' own rule under seed 3
SUMS = dict(
    zip(
        (name for name, _ in ENTRIES),
        (-2.2624376, 5.3148761, 0.2853352, 0.5830210, 5.2153149, 0.0, -0.2485391, -0.1047970),
        strict=True,
    )
)


@pytest.mark.parametrize(("name", "shape"), ENTRIES)
def test_the_rule_gives_the_figures_written_down(fill, name, shape):
    values = fill(name, shape, 3)
    assert values.dtype == np.float32
    assert values.shape == shape
    assert float(values.sum(dtype=np.float64)) == pytest.approx(SUMS[name], abs=1e-5)


@pytest.mark.skipif(not SHARED.is_file(), reason="needs ../shared/golden")
@pytest.mark.parametrize(("name", "shape"), ENTRIES)
def test_the_rule_is_the_golden_files(fill, name, shape):
    spec = importlib.util.spec_from_file_location("shared_fill", SHARED)
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    for seed in (0, 3):
        ours = fill(name, shape, seed)
        assert ours.dtype == np.float32
        assert np.array_equal(ours, theirs.fill(name, shape, seed))


@pytest.fixture
def golden(parity, golden_folder):
    return parity.Golden("clipreid", golden_folder("clipreid"), 0)


def test_compare_takes_arrays_whole_or_by_their_statistics(golden):
    x = torch.arange(24.0).view(2, 12)
    golden.arrays = {
        "a": x.numpy(),
        "b/stat": np.array([11.5, x.numpy().std(), *range(8)]),
        "c": np.zeros(3),
    }
    differences = golden.compare({"a": x + 0.5, "b": x})
    assert differences["a"] == 0.5
    assert differences["b/stat"] < 1e-6
    assert differences["c"] is None
    with pytest.raises(ValueError, match="shape"):
        golden.compare({"a": x[0]})


def test_scale_changes_apply_to_the_names_they_end(parity, fill, golden_folder):
    golden = parity.Golden("vslaclip", golden_folder("vslaclip"), 0)
    name, shape = "image_encoder.transformer.resblocks.0.dat.up.weight", (768, 256)
    assert np.array_equal(golden.fill(name, shape).numpy(), 0.25 * fill(name, shape, 0))
    name = "image_encoder.transformer.resblocks.0.dat.down.weight"
    assert np.array_equal(golden.fill(name, shape).numpy(), fill(name, shape, 0))


@pytest.mark.parametrize(
    ("off", "unexpected", "status"),
    [
        (0.0, [], 0),
        (1.0, [], 1),  # a feature that differs
        (float("nan"), [], 1),
        (None, [], 1),  # no feature at all
        (0.0, ["lost.weight"], 1),  # an entry of theirs without a place
    ],
)
def test_the_exit_status(parity, golden_folder, monkeypatch, capsys, off, unexpected, status):
    def compute(golden):
        golden.unexpected = unexpected
        return {} if off is None else {"feature": torch.from_numpy(golden.arrays["feature"]) + off}

    monkeypatch.setattr(parity, "compute", compute)
    monkeypatch.setattr(sys, "argv", ["parity.py", "clipreid", str(golden_folder("clipreid")), "0"])
    assert parity.main() == status
    printed = capsys.readouterr().out
    assert "get_image_512" in printed
    assert all(name in printed for name in unexpected)


def test_all_models_make_one_table_and_a_failure_shows(parity, golden, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parity, "TABLE", tmp_path / "parity.md")
    differences = {"psta": {"feature": 2e-6, "x": 3e-5, "y": None}, "bicnet": {"feature": 2e-3}}

    def check(name, folder, seed, bound):
        assert folder.name == name
        made = parity.Golden(name, folder, seed)
        made.missing = ["memory"]
        return parity.Checked(made, 1e-4, differences.get(name, {"feature": 0.0}))

    monkeypatch.setattr(parity, "check", check)
    monkeypatch.setattr(sys, "argv", ["parity.py", "all", str(golden.folder.parent), "0"])
    assert parity.main() == 1
    lines = (tmp_path / "parity.md").read_text().splitlines()
    assert "| psta | 2 of 3 | 2.0e-06 | 3.0e-05 | `x` | 0.0001 | holds |" in lines
    assert "| bicnet | 1 of 1 | 2.0e-03 | 2.0e-03 | `feature` | 0.0001 | above the bound |" in lines
    assert "- psta, entries of the state dict not in theirs: `memory`" in lines
    del differences["bicnet"]
    assert parity.main() == 0
