"""Fetching weights from a release page and a hub on the loopback address."""

import hashlib
import json
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from release_page import File, serving, without_weights

from reidkit.datasets import ReidkitError, UsageError
from reidkit.training import downloads, fetch, weights

BODY = np.random.default_rng(1).bytes(50_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
RELEASE = "/github.com/ultralytics/assets/releases/download/v8.4.0"
API = "/api.github.com/repos/ultralytics/assets/releases/tags/v8.4.0"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and `yolo11m.pt` in the table with the sha256 of BODY."""
    folder = without_weights(monkeypatch, tmp_path)
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    known = {
        name: replace(entry, size=len(BODY), sha256=SHA256) if entry.owner in ("reidkit", "torch") else entry
        for name, entry in weights.table().items()
    }
    monkeypatch.setattr(weights, "table", lambda: known)
    return folder


@pytest.fixture
def page(cache, monkeypatch):
    """A server in the place of all hosts."""
    with serving({f"{RELEASE}/yolo11m.pt": File(BODY)}) as server:
        monkeypatch.setenv("REIDKIT_WEIGHTS_SOURCE", server.address)
        yield server


def release(digest):
    return File(json.dumps({"assets": [{"name": "yolo26s.pt", "size": len(BODY), "digest": digest}]}).encode())


def test_a_release_is_fetched_recorded_and_not_fetched_again(cache, page):
    got = fetch.get("yolo11m.pt")
    assert (got.path, got.fetched) == (cache / "yolo11m.pt", True)
    assert got.path.read_bytes() == BODY
    recorded = weights.recorded()[SHA256]
    assert (recorded.name, recorded.size) == ("yolo11m.pt", len(BODY))
    assert recorded.source == f"{page.address}{RELEASE}/yolo11m.pt"
    assert not fetch.get("yolo11m.pt").fetched
    assert len(page.asked) == 1


def test_a_transfer_stopped_before_its_name_is_only_renamed(cache, page, monkeypatch):
    monkeypatch.setattr(downloads, "finish", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        fetch.get("yolo11m.pt")
    monkeypatch.undo()
    monkeypatch.setenv("REIDKIT_WEIGHTS", str(cache))
    monkeypatch.setenv("REIDKIT_WEIGHTS_SOURCE", page.address)
    entry = replace(weights.wanted("yolo11m.pt"), size=len(BODY), sha256=SHA256)
    monkeypatch.setattr(weights, "table", lambda: {"yolo11m.pt": entry})
    assert fetch.get("yolo11m.pt").path.read_bytes() == BODY
    assert len(page.asked) == 1


def test_a_file_put_there_by_hand_is_checked_and_recorded(cache, page):
    cache.mkdir()
    (cache / "yolo11m.pt").write_bytes(BODY)
    assert not fetch.get("yolo11m.pt").fetched
    assert SHA256 in weights.recorded()
    assert page.asked == []


def test_another_file_in_its_place_is_left_alone(cache, page):
    fetch.get("yolo11m.pt")
    (cache / "yolo11m.pt").write_bytes(b"changed")
    with pytest.raises(ReidkitError, match=r"is there, but its sha256 is .* move it away") as caught:
        fetch.get("yolo11m.pt")
    assert caught.value.exit_code == 1
    assert (cache / "yolo11m.pt").read_bytes() == b"changed"


def test_resnet_goes_where_torchvision_looks(cache, page, tmp_path):
    page.files["/download.pytorch.org/models/resnet50-0676ba61.pth"] = File(BODY)
    got = fetch.get("resnet50-imagenet1k-v1")
    assert got.path == tmp_path / "torch" / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    assert weights.file_of("resnet50-imagenet1k-v1", "") == got.path


def test_the_release_page_gives_the_sha256(cache, page):
    page.files |= {API: release(f"sha256:{SHA256}"), f"{RELEASE}/yolo26s.pt": File(BODY)}
    assert fetch.get("yolo26s.pt").fetched
    assert page.asked[0][0] == API
    assert not fetch.get("yolo26s.pt").fetched


def test_a_sha256_other_than_the_release_pages_is_refused(cache, page):
    page.files |= {API: release(f"sha256:{'0' * 64}"), f"{RELEASE}/yolo26s.pt": File(BODY)}
    with pytest.raises(ReidkitError, match="it should be 0000000000000000"):
        fetch.get("yolo26s.pt")
    assert not (cache / "yolo26s.pt").exists()
    assert weights.recorded() == {}


@pytest.mark.parametrize("answer", [release(None), File(status=403), File(b"no JSON"), File(b'{"assets": []}')])
def test_without_a_sha256_what_came_is_recorded_and_this_is_said(cache, page, answer, capsys):
    page.files |= {API: answer, f"{RELEASE}/yolo26s.pt": File(BODY)}
    assert fetch.get("yolo26s.pt").fetched
    assert "gives no sha256" in capsys.readouterr().err
    assert SHA256 in weights.recorded()
    (cache / "yolo26s.pt").write_bytes(b"another")
    with pytest.raises(ReidkitError, match="was not fetched by reidkit"):
        fetch.get("yolo26s.pt")


def test_what_ships_needs_nothing(cache, page, monkeypatch):
    assert not fetch.get("simulated detector").fetched
    monkeypatch.setattr(weights, "PACKAGE", cache)
    with pytest.raises(ReidkitError, match=r"'tiny CLIP' ships with reidkit and is not there\. Install"):
        fetch.get("tiny CLIP")
    assert page.asked == []


def test_unknown_names_are_refused_before_the_network(cache, page):
    with pytest.raises(UsageError, match="Unknown weights 'yolo11'"):
        fetch.get("yolo11")
    assert page.asked == []


def test_two_at_once_fetch_once(cache, page, capsys):
    """The second waits for the first's lock, then finds the file."""
    started, go = threading.Event(), threading.Event()

    class Slow(File):
        @property
        def body(self):
            started.set()
            go.wait(20)
            return BODY

        @body.setter
        def body(self, _):
            pass

    page.files[f"{RELEASE}/yolo11m.pt"] = Slow()
    code = (
        "import sys; from dataclasses import replace; from reidkit.training import fetch, weights\n"
        "entry = replace(weights.wanted('yolo11m.pt'), size=int(sys.argv[1]), sha256=sys.argv[2])\n"
        "weights.table = lambda: {'yolo11m.pt': entry}\n"
        "print(fetch.get('yolo11m.pt').fetched)"
    )
    command = [sys.executable, "-c", code, str(len(BODY)), SHA256]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.wait(20)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "waiting for it" in second.stderr.readline()
    go.set()
    assert first.communicate(timeout=20)[0] == "True\n"
    assert second.communicate(timeout=20)[0] == "False\n"
    assert len(page.asked) == 1


CAPTIONER = "microsoft/Phi-4-multimodal-instruct"


def hub(commit: str) -> dict[str, File]:
    """A repository of two files, as the Hugging Face hub describes and serves it."""
    files = {"config.json": b"{}", "model.safetensors": BODY, "modeling.py": b"raise SystemExit"}
    base = f"/huggingface.co/{CAPTIONER}"
    tree = [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files.items()]
    served = {
        f"/huggingface.co/api/models/{CAPTIONER}/revision/refs%2Fpr%2F70": File(
            json.dumps({"id": CAPTIONER, "sha": commit, "siblings": []}).encode(), kind="application/json"
        ),
        f"/huggingface.co/api/models/{CAPTIONER}/tree/{commit}?recursive=true&expand=false": File(
            json.dumps(tree).encode(), kind="application/json"
        ),
    }
    for name, data in files.items():
        served[f"{base}/resolve/{commit}/{name}"] = File(data, etag=f'"{name}"', headers={"X-Repo-Commit": commit})
    return served


def test_the_captioner_comes_through_the_hubs_own_library(cache, page, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    page.files |= hub("c" * 40)
    got = fetch.get(CAPTIONER)
    assert got.fetched
    assert page.tokens == []  # a mirror is not told the token for the hub
    assert sorted(path.name for path in got.path.iterdir()) == ["config.json", "model.safetensors"]
    assert (got.path / "model.safetensors").read_bytes() == BODY
    assert weights.find(weights.wanted(CAPTIONER)) == got.path
    page.asked.clear()
    assert not fetch.get(CAPTIONER).fetched
    assert page.asked == []


def test_an_incomplete_captioner_is_not_here_and_is_gone_on_with(cache, page):
    page.files |= hub("c" * 40)
    whole = page.files.pop(f"/huggingface.co/{CAPTIONER}/resolve/{'c' * 40}/model.safetensors")
    with pytest.raises(ReidkitError, match=r"can't be fetched from the Hugging Face hub .*goes on from there"):
        fetch.get(CAPTIONER)
    assert weights.find(weights.wanted(CAPTIONER)) is None
    page.files[f"/huggingface.co/{CAPTIONER}/resolve/{'c' * 40}/model.safetensors"] = whole
    assert fetch.get(CAPTIONER).fetched
