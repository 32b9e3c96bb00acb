"""The table of weights, where they are looked for, and what is vouched for."""

import hashlib
import pickle
import re
from pathlib import Path

import pytest
from release_page import without_weights

from reidkit.datasets import UsageError
from reidkit.datasets.errors import MissingWeights
from reidkit.training import weights


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    without_weights(monkeypatch, tmp_path)


def test_every_entry_is_whole():
    for name, entry in weights.table().items():
        assert name == entry.name
        assert all((entry.what, entry.licence, entry.needed_by, entry.source))
        assert bool(entry.sha256) <= bool(entry.size or entry.about)
        if entry.owner in ("reidkit", "torch", "clip"):
            assert re.fullmatch(r"https://[\w./%-]+", entry.source)
        if entry.owner == "package":
            assert weights.find(entry).is_file()
        else:
            assert weights.find(entry) is None


def test_the_addresses_and_folders_are_those_of_the_libraries():
    """`reidkit weights` must not wait for torch, so the table repeats what the libraries know."""
    import open_clip
    import torch
    from torchvision.models import ResNet50_Weights

    table = weights.table()
    for name, theirs in (("v1", ResNet50_Weights.IMAGENET1K_V1), ("v2", ResNet50_Weights.IMAGENET1K_V2)):
        ours = table[f"resnet50-imagenet1k-{name}"]
        assert ours.source == theirs.url
        assert ours.sha256.startswith(ours.file.removesuffix(".pth").rsplit("-", 1)[1])
        assert ours.size == pytest.approx(theirs.meta["_file_size"] * 2**20, rel=1e-4)
    clip = open_clip.get_pretrained_cfg("ViT-B-16-quickgelu", "openai")
    assert table["clip"].source == clip["url"]
    assert f"{table['clip'].repository}/" == clip["hf_hub"]
    assert f"/{table['clip'].sha256}/" in clip["url"]
    assert weights.places(table["resnet50-imagenet1k-v1"])[-1].parent == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_detectors_are_those_that_ultralytics_releases():
    pytest.importorskip("ultralytics")
    from reidkit.toolkit.ultralytics_yolo import import_yolo

    import_yolo()
    from inspect import signature

    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

    release = signature(attempt_download_asset).parameters["release"].default
    assert weights.RELEASES.rsplit("/", 2)[1] == release
    plain = {name for name in GITHUB_ASSETS_NAMES if re.fullmatch(r"yolo(v8|v9|v10|11|12|26)[a-z]\.pt", name)}
    assert {name for name in plain if weights.known(name)} == plain
    assert weights.known("yolo11m.pt") is weights.table()["yolo11m.pt"]
    assert weights.known("yolo26s.pt").source == f"{weights.RELEASES}yolo26s.pt"
    assert weights.known("yolo11z.pt") is None


def test_torchs_folder_without_its_variable(monkeypatch):
    import torch

    monkeypatch.delenv("TORCH_HOME")
    for cache in (None, "/somewhere/cache"):
        if cache:
            monkeypatch.setenv("XDG_CACHE_HOME", cache)
        else:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert weights.torch_folder() == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize("folder", ["cache", "torch/hub/checkpoints"])
def test_our_cache_and_the_librarys_are_looked_into(tmp_path, folder):
    path = tmp_path / folder / "resnet50-0676ba61.pth"
    path.parent.mkdir(parents=True)
    path.touch()
    assert weights.file_of("resnet50-imagenet1k-v1", "") == path


def test_clip_is_found_in_either_librarys_cache(tmp_path):
    clip = weights.wanted("clip")
    old = tmp_path / "home" / ".cache" / "clip" / "ViT-B-16.pt"
    old.parent.mkdir(parents=True)
    old.touch()
    assert weights.find(clip) == old
    repository = tmp_path / "hub" / f"models--{clip.repository.replace('/', '--')}"
    file = repository / "snapshots" / "abc" / "open_clip_model.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert weights.find(clip) == file


def test_what_is_missing_names_the_command():
    error = weights.missing("yolo11m.pt", "clip")
    assert str(error) == (
        "The weights 'yolo11m.pt' (40.7 MB, AGPL-3.0) and 'clip' (about 350 MB, MIT) are not on this machine. "
        "`reidkit weights get yolo11m.pt clip` fetches them."
    )
    assert error.exit_code == 2
    copy = pickle.loads(pickle.dumps(error))  # as it comes from a worker process
    assert (type(copy), str(copy), copy.names) == (MissingWeights, str(error), ("yolo11m.pt", "clip"))
    with pytest.raises(MissingWeights, match=r"fetches them; or train without\.$"):
        weights.file_of("resnet50-imagenet1k-v1", "train without")


def test_an_unknown_name_has_near_ones():
    with pytest.raises(UsageError, match=r"Unknown weights 'yolox'\. Near to it: .*yolox_s\.onnx"):
        weights.file_of("yolox", "")


def test_several_calls_lack_together():
    def lacks(name):
        def load():
            raise weights.missing(name, otherwise="do without")

        return load

    assert weights.together(lambda: 1, lambda: None) == [1, None]
    with pytest.raises(MissingWeights, match="or do without"):
        weights.together(lambda: 1, lacks("clip"))
    with pytest.raises(MissingWeights, match=r"get yolox_s\.onnx clip`"):
        weights.together(lacks("yolox_s.onnx"), lacks("clip"))


def test_only_known_releases_and_recorded_files_are_vouched_for(tmp_path):
    assert weights.vouched(weights.wanted("yolo11m.pt").sha256)
    assert not weights.vouched("")
    mine = hashlib.sha256(b"mine").hexdigest()
    assert not weights.vouched(mine)
    weights.record(weights.wanted("yolo26s.pt"), mine, "https://example.org/yolo26s.pt", 4)
    assert weights.vouched(mine)
    assert weights.recorded()[mine].name == "yolo26s.pt"


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"files": {"12": {}}}', '{"files": {"' + "0" * 64 + '": {"name": 1}}}']
)
def test_a_damaged_record_vouches_for_nothing(tmp_path, content):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / weights.RECORD).write_text(content)
    with pytest.raises(UsageError, match=r"fetched\.json' can't be used: .*Delete it"):
        weights.vouched("1" * 64)
