"""Every model as ONNX gives what it gives in PyTorch; what doesn't is refused."""

import json

import msgspec
import numpy as np
import pytest
import torch
from small_models import clips, run_of, small
from torch import nn
from torch.nn import functional as F

from reidkit.baselines import stmn
from reidkit.datasets import UsageError
from reidkit.datasets.errors import ReidkitError
from reidkit.datasets.files import sha256_file
from reidkit.toolkit import export_model
from reidkit.toolkit.embed import load_embedder
from reidkit.toolkit.onnx_session import open_session
from reidkit.training import zoo
from reidkit.training.trained import knows_cameras, open_model

pytest.importorskip("onnx")

# model -> step of the clip length; 0: fixed
STEPS = dict.fromkeys(zoo.MODULES, 1) | {"bicnet": 4, "psta": 8, "stmn": 0, "sinet": 0}


@pytest.fixture
def tracklets(tmp_path):
    return clips(tmp_path / "clips")


def out_of_python(model, recipe, tracklets, name):
    facts = export_model.facts_of(model, recipe, name, "tiny")
    cameras = knows_cameras(zoo.module(name), recipe)
    return export_model.exported(model, recipe, facts, tracklets, cameras=cameras)


OFTEN = ("cgclip", "tfclip", "bicnet", "psta", "stmn")  # each has something that no other of these has


@pytest.mark.parametrize("name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.slow) for n in zoo.MODULES])
def test_every_model(tracklets, name):
    """At batches and clip lengths other than the traced one, with the cameras where the model knows them."""
    model, recipe = small(name)
    data, facts, compared = out_of_python(model, recipe, tracklets, name)
    assert facts.frame_step == STEPS[name]
    assert {one.batch for one in compared} == {1, 3}
    lengths = {recipe.test_frames, *({STEPS[name], 3 * STEPS[name]} - {0})}
    assert {one.frames for one in compared} == lengths
    assert max(one.difference for one in compared) < 1e-5
    session = open_session(data)
    inputs = {one.name: one.shape for one in session.get_inputs()}
    frames = "frames" if STEPS[name] else recipe.test_frames
    assert inputs["clips"] == ["batch", frames, 3, recipe.clip.height, recipe.clip.width]
    assert ("cameras" in inputs) == (name == "tfclip")
    # once more in plain words, on five clips of noise
    noise = torch.randn(5, recipe.test_frames, 3, recipe.clip.height, recipe.clip.width)
    who = torch.tensor([0, 1, 2, 0, 1])
    feed = {"clips": noise.numpy(), "cameras": who.numpy()}
    found = torch.from_numpy(session.run(None, {key: feed[key] for key in inputs})[0])
    with torch.no_grad():
        wanted = model.embed(noise, who)
    assert F.normalize(found, dim=1) == pytest.approx(F.normalize(wanted, dim=1), abs=1e-5)


@pytest.mark.parametrize("side", [8, 7, 5])
def test_adaptive_pooling_as_two_products(side):
    x = torch.randn(2, 3, side, 6)
    for size in ((4, 2), (5, 1), (3, 4)):
        assert export_model._pooled(x, size) == pytest.approx(F.adaptive_avg_pool2d(x, size), abs=1e-6)


class Wrong(nn.Module):
    """In PyTorch its feature depends on something that a trace forgets."""

    def embed(self, clips, cameras):
        rows = clips.flatten(1)[:, :8] + 1
        return rows * torch.arange(8) if torch.jit.is_tracing() else rows


class Operator(nn.Module):
    def embed(self, clips, cameras):
        return torch.linalg.pinv(clips[:, 0, 0, :8, :8]).flatten(1)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [(Wrong(), "differ by .*e-0.*is allowed. Nothing"), (Operator(), "can't be exported as ONNX")],
)
def test_what_comes_out_otherwise_is_refused(tracklets, capfd, model, sentence):
    recipe = small("resnet50")[1]
    with pytest.raises(ReidkitError, match=sentence):
        out_of_python(model, recipe, tracklets, "resnet50")
    assert capfd.readouterr().out == ""  # the exporter would print its graph


class Fixed(nn.Module):
    """Takes clips of any length in PyTorch, and forgets it where it is traced."""

    def embed(self, clips, cameras):
        rows = clips.mean((1, 3)).flatten(1)
        return torch.cat([rows, torch.full_like(rows[:, :1], float(len(clips[0])))], dim=1)


def test_where_a_trace_forgets_the_length_it_is_fixed(tracklets):
    recipe = small("resnet50")[1]
    data, facts, compared = out_of_python(Fixed(), recipe, tracklets, "resnet50")
    assert facts.frame_step == 0
    assert open_session(data).get_inputs()[0].shape[1] == recipe.test_frames
    assert {one.frames for one in compared} == {recipe.test_frames}


@pytest.mark.parametrize("name", ["resnet50", "stmn"])
def test_the_file_says_what_it_takes_and_the_builder_reads_it(tmp_path, tracklets, name):
    run = run_of(tmp_path / "run", name)
    path = tmp_path / "model.onnx"
    written = export_model.write_model(open_model(name, run, None, (), None, "cpu"), tracklets, path)
    assert written.size == path.stat().st_size
    assert written.largest < 1e-5
    told = json.loads(open_session(path).get_modelmeta().custom_metadata_map["reidkit"])
    assert told["weights_sha256"] == sha256_file(run / "model.safetensors")
    assert (told["model"], told["size"], told["trained_on"]) == (name, "tiny", "made-up")
    recipe = small(name)[1]
    assert (told["height"], told["width"], told["frames"]) == (64, 40, recipe.test_frames)
    assert (told["layout"], told["channels"], told["mean"]) == ("NTCHW", "RGB", list(recipe.clip.mean))
    images = [np.random.default_rng(k).integers(0, 255, (90, 50, 3), dtype=np.uint8) for k in range(20)]
    found = load_embedder(path).embed(images)
    assert found.shape == (20, small(name)[0].embed(torch.zeros(1, recipe.test_frames, 3, 64, 40), None).shape[1])
    if name == "resnet50":  # takes clips of one frame, as the run does; STMN sees its picture four times
        np.testing.assert_allclose(found, load_embedder(run).embed(images), atol=1e-5)
    with pytest.raises(UsageError, match="no tracklets"):
        export_model.write_model(open_model(name, run, None, (), None, "cpu"), (), path)


def test_facts_survive_the_file(tmp_path):
    model, recipe = small("stmn")
    facts = export_model.facts_of(model, recipe, "stmn", "tiny")
    assert isinstance(model, stmn.Stmn)
    assert msgspec.json.decode(msgspec.json.encode(facts), type=export_model.Exported) == facts
