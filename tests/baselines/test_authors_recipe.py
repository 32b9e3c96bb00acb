"""What a model's recipe of size full does, beside tables written down from what the authors' released code does.

Rates by epoch, steps in an epoch on MARS, frames drawn, augmentation, and where training starts.
"""

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reidkit.baselines import ap3d_nl, bicnet, sinet, stmn, tfclip, vslaclip
from reidkit.baselines.clip import start_cameras
from reidkit.datasets.matlab import read_mat
from reidkit.datasets.sampling import clip_sample, identity_batches
from reidkit.training import zoo
from reidkit.training.optimiser import rate_factor

MARS = Path(__file__).resolve().parents[3] / "shared" / "protocols" / "mars" / "tracks_train_info.mat"

# how many of MARS' 625 training identities have that many tracklets
TRACKLETS = {
    **{1: 1, 2: 16, 3: 28, 4: 35, 5: 42, 6: 34, 7: 45, 8: 41, 9: 51, 10: 50, 11: 36, 12: 32, 13: 17, 14: 18, 15: 17},
    **{16: 25, 17: 16, 18: 11, 19: 11, 20: 8, 21: 12, 22: 6, 23: 6, 24: 6, 25: 6, 26: 2, 27: 7, 28: 1, 29: 6, 30: 4},
    **{31: 4, 32: 1, 33: 2, 34: 2, 35: 1, 36: 2, 37: 1, 38: 4, 39: 1, 40: 3, 42: 1, 44: 1, 45: 1, 47: 1, 51: 1, 54: 1},
    **{58: 1, 63: 1, 64: 1, 67: 1, 75: 1, 87: 1, 186: 1, 271: 1},
}

# epoch -> what the base rate is multiplied by, at its first step as at its last
STAIR = {0: 0.1, 1: 0.19, 5: 0.55, 9: 0.91, 10: 1.0, 29: 1.0, 30: 0.1, 49: 0.1, 50: 0.01, 70: 0.001, 79: 0.001}
BY_40 = {0: 1.0, 39: 1.0, 40: 0.1, 79: 0.1, 80: 0.01, 119: 0.01, 120: 0.001, 149: 0.001}
BY_60 = {0: 1.0, 59: 1.0, 60: 0.1, 119: 0.1, 120: 0.01, 179: 0.01, 180: 0.001, 239: 0.001}
RATES = {
    "tfclip": STAIR,
    "cgclip": STAIR,
    "clipreid": {0: 0.19, 1: 0.28, 8: 0.91, 9: 1.0, 28: 1.0, 29: 0.1, 48: 0.1, 49: 0.01, 59: 0.01},
    "vslaclip": {0: 0.19, 1: 0.28, 8: 0.91, 9: 1.0, 58: 1.0, 59: 0.1, 88: 0.1, 89: 0.01, 119: 0.01},
    "ap3d": BY_60,
    "ap3d_nl": BY_60,
    "bicnet": BY_40,
    "sinet": BY_40,
    "psta": {0: 0.01, 1: 0.109, 9: 0.901, 10: 1.0, 69: 1.0, 70: 0.3, 140: 0.09, 210: 0.027, 310: 0.0081, 410: 0.00243},
    "stmn": {0: 1.0, 49: 1.0, 50: 0.1, 99: 0.1, 100: 0.01, 149: 0.01, 150: 0.001, 199: 0.001},
}

# least and most steps of an epoch on MARS, clips in a batch, epochs
STEPS = {
    # their comment says at most 7,532 clips; an epoch ends where fewer than four identities have a group left
    "tfclip": (440, 470, 16, 80),
    "cgclip": (440, 470, 16, 80),
    "clipreid": (215, 235, 32, 60),
    "vslaclip": (235, 235, 32, 120),
    "ap3d": (235, 235, 32, 240),
    "ap3d_nl": (235, 235, 32, 240),
    "bicnet": (117, 117, 64, 150),
    "sinet": (235, 235, 32, 160),
    "psta": (78, 78, 32, 500),
    "stmn": (78, 78, 32, 200),
}

# pad, erasing: probability, scope, area, fill, value after normalisation
MEAN_COLOUR = (0.4914, 0.4822, 0.4465)
COLOUR = (0, 0.5, "frame", (0.02, 0.2), "colour", (0, 0, 0))
PLACE = (0, 0.5, "place", (0.02, 0.4), "value", MEAN_COLOUR)
AUGMENTATION = {
    "tfclip": COLOUR,
    "cgclip": COLOUR,
    "clipreid": (10, 0.5, "frame", (0.02, 0.4), "noise", (0, 0, 0)),
    "vslaclip": PLACE,
    "sinet": PLACE,
    "ap3d": (0, 0, "frame", (0.02, 0.4), "value", (0, 0, 0)),
    "ap3d_nl": (0, 0, "frame", (0.02, 0.4), "value", (0, 0, 0)),
    "bicnet": (0, 0.5, "clip", (0.02, 0.4), "value", MEAN_COLOUR),
    "psta": (0, 0.5, "clip", (0.02, 0.4), "value", (0.485, 0.456, 0.406)),
    "stmn": (0, 0.5, "frame", (0.02, 0.4), "value", (0, 0, 0)),
}


def test_every_compared_model_is_here():
    assert RATES.keys() == STEPS.keys() == AUGMENTATION.keys() == zoo.MODULES.keys() - {"resnet50"}


@pytest.mark.parametrize("name", RATES)
def test_rates_by_epoch(name):
    recipe, steps = zoo.recipe(name), 10
    for epoch, expected in RATES[name].items():
        for step in (epoch * steps, epoch * steps + steps - 1):
            assert rate_factor(recipe, step, steps) == pytest.approx(expected, rel=1e-9), epoch
    assert max(RATES[name]) < recipe.epochs


@pytest.fixture(scope="module")
def labels():
    """MARS' training tracklets' identities, numbered anew."""
    counts = [count for count, identities in TRACKLETS.items() for _ in range(identities)]
    assert (len(counts), sum(counts)) == (625, 8298)
    return np.repeat(np.arange(625), counts)


@pytest.mark.skipif(not MARS.is_file(), reason="no tables of MARS beside the checkout")
def test_the_counts_are_those_of_mars_tables():
    table = read_mat(MARS, "track_train_info")
    assert Counter(Counter(table[:, 2].astype(int).tolist()).values()) == TRACKLETS


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_an_epoch_on_mars(name, labels):
    recipe, (least, most, clips, epochs) = zoo.recipe(name), STEPS[name]
    batches = identity_batches(
        labels,
        recipe.identities,
        recipe.tracklets,
        0,
        0,
        epoch_of=recipe.epoch_of,
        composition=recipe.composition,
    )
    assert least <= len(batches) <= most
    assert {len(batch) for batch in batches} == {clips}
    assert recipe.epochs == epochs
    twice = any(len(set(labels[batch])) < clips // 4 for batch in batches)
    assert twice == (recipe.composition == "shuffled")  # an identity twice in a batch


def drawn(name, n):
    """Fifty clips of a tracklet of n frames, as the recipe draws them: [50, T]."""
    recipe = zoo.recipe(name)
    how = {"stride": recipe.train_stride, "chunks": recipe.train_chunks}
    return np.array([clip_sample(n, recipe.clip.frames, np.random.default_rng(seed), **how) for seed in range(50)])


@pytest.mark.parametrize(("name", "T", "stride"), [("ap3d", 4, 8), ("ap3d_nl", 4, 8), ("bicnet", 8, 4)])
def test_frames_at_a_stride(name, T, stride):
    for n in range(1, 101):
        for clip in drawn(name, n).tolist():
            gaps = [b - a for a, b in pairwise(clip)]
            assert len(clip) == T
            assert 0 <= clip[0] <= clip[-1] < n
            if n >= 32:
                assert gaps == [stride] * (T - 1)
            elif n >= T:
                assert min(gaps) >= 1  # different frames


@pytest.mark.parametrize("name", ["tfclip", "cgclip"])
def test_frames_of_chunks_whose_tail_is_the_last_frame(name):
    for n in range(1, 101):
        size = math.ceil(n / 8)
        padded = list(range(n)) + [n - 1] * (8 * size - n)
        for t, shown in enumerate(drawn(name, n).T.tolist()):
            assert set(shown) <= set(padded[t * size : (t + 1) * size])


def test_frames_of_a_window():
    for n in range(8, 101):
        window = 64 if n >= 64 else 32 if n >= 32 else 16 if n >= 16 else 8
        for clip in drawn("psta", n).tolist():
            chunk = window // 8
            starts = [
                start
                for start in range(n - window + 1)
                if all(start + chunk * t <= frame < start + chunk * (t + 1) for t, frame in enumerate(clip))
            ]
            assert starts


@pytest.mark.parametrize("name", AUGMENTATION)
def test_augmentation(name):
    recipe = zoo.recipe(name)
    erasing = recipe.erasing
    found = (recipe.pad, erasing.probability, erasing.scope, erasing.area, erasing.fill, erasing.value)
    assert found == AUGMENTATION[name]
    assert recipe.flip == 0.5


def test_networks_on_imagenet_train_in_float32():
    cnns = {"ap3d", "ap3d_nl", "bicnet", "psta", "stmn", "sinet"}
    assert {name for name in RATES if zoo.recipe(name).precision == "fp32"} == cnns


def deviation(weight):
    return float(weight.detach().std())


def test_where_tfclips_parts_start():
    torch.manual_seed(0)
    ssp = tfclip.SequenceSpecificPrompt(64, 4, 2, 0.1)
    for layer in ssp.modules():
        if isinstance(layer, nn.Linear):
            assert deviation(layer.weight) == pytest.approx(0.02, rel=0.1)
            assert layer.bias is None or not layer.bias.any()
        if isinstance(layer, tfclip.SspLayer):
            assert sum(isinstance(part, nn.Dropout) for part in layer.mlp) == 2
    cameras = nn.Parameter(torch.zeros(20, 64))
    start_cameras(cameras)
    assert deviation(cameras) == pytest.approx(0.02, rel=0.1)


def test_attention_weights_of_ssp_have_no_dropout():
    torch.manual_seed(0)
    attention = tfclip.ContextAttention(8, 2, dropout=0.5).train()
    attention.proj = nn.Identity()
    x = torch.randn(1, 3, 8)
    plain = attention.eval()(x, x)
    found = attention.train()(x, x)
    kept = found != 0
    assert 0 < kept.sum() < kept.numel()
    torch.testing.assert_close(found[kept], 2 * plain[kept])  # an output is dropped whole, or stands


@pytest.mark.parametrize(("start", "zero"), [("uniform", False), ("zero", True)])
def test_where_vslaclips_adapters_start(start, zero):
    model = vslaclip.build(zoo.recipe("vslaclip", "tiny", ("pretrained=", f"adapter_start={start}")), 3, 2)
    ups = [p for name, p in model.image.named_parameters() if ".up." in name]
    assert ups
    assert all(bool(p.any()) != zero for p in ups)


def test_where_added_blocks_of_the_networks_start():
    torch.manual_seed(0)
    block = ap3d_nl.ap3d.NonLocal(64)
    for layer in (block.theta, block.phi, block.g, block.out[0]):
        assert deviation(layer.weight) == pytest.approx(math.sqrt(2 / layer.out_channels), rel=0.1)
        assert not layer.bias.any()
    idm = sinet.IntegrationDistribution(64, 160)
    assert not idm.chl_expansion.weight.any()
    assert not idm.chl_expansion.bias.any()
    for layer in (idm.chl_reduction[0], idm.thw_reduction[0], idm.thw_expansion):
        assert deviation(layer.weight) == pytest.approx(math.sqrt(2 / layer.out_channels), rel=0.2)
    x = torch.rand(4, 64, 8, 5)
    torch.testing.assert_close(idm(x, 4), x)  # the identity
    recipe = zoo.recipe("bicnet", "tiny", ("backbone_width=8",))
    assert all(path.weight.any() for path in bicnet.build(recipe, 3, 2).paths)
    spatial, temporal = stmn.SpatialMemory(10, 64, False), stmn.TemporalMemory(50, 64, 6)
    for drawn_from_normal in (spatial.key, spatial.value, temporal.key):
        assert deviation(drawn_from_normal) == pytest.approx(1.0, rel=0.1)
    assert 0 <= temporal.value.min() < 0.1
    assert 0.9 < temporal.value.max() < 1
