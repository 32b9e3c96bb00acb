"""TF-CLIP: parity with the authors' code, each part against loops, and what trains."""

import dataclasses

import pytest
import torch

from reidkit.baselines import tfclip
from reidkit.datasets import Frames, ReidDataset, Tracklet
from reidkit.training import zoo
from reidkit.training.losses import combine
from reidkit.training.optimiser import make_optimiser, parameter_factors

TINY = tfclip.RECIPES["tiny"]
CLASSES, CAMERAS = 5, 3


def batch():
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(4, 2, 3, 128, 64, generator=generator)
    return clips, torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 3, 3])


def filled(recipe=TINY):
    """A tiny model whose memory isn't zero."""
    torch.manual_seed(0)
    model = tfclip.build(recipe, CLASSES, CAMERAS)
    if recipe.memory:
        model.memory.normal_()
    return model


@pytest.mark.slow
def test_parity_with_the_authors_code(parity, golden_folder):
    golden = parity.Golden("tfclip", golden_folder("tfclip"), 0, lengths=(8,))
    differences = golden.compare(parity.compute(golden))
    given = {name: value for name, value in differences.items() if not name.startswith(("T4/", "feature_T4"))}
    assert None not in given.values()
    assert max(given.values()) < parity.BOUND, given
    # what has no partner is named, on both sides, and it is what the authors' notes call unused
    assert sorted(golden.unexpected) == sorted(golden.meta["entries_never_used_even_in_training"])
    assert golden.missing == ["memory"]


@pytest.mark.slow
def test_parity_with_four_frames(parity, golden_folder):
    golden = parity.Golden("tfclip", golden_folder("tfclip"), 0, lengths=(8, 4))
    assert max(golden.compare(parity.compute(golden)).values()) < parity.BOUND


def test_the_loss_is_the_papers(parity, golden_folder):
    """The sum 0.25 CE + triplet + CE(memory) + CE(frames)/T, by loops."""
    torch.manual_seed(0)
    labels, frames = torch.tensor([0, 0, 1, 1]), 3
    features = {name: torch.randn(4, 6) for name in ("image", "projection", "clip")}
    logits = {name: torch.randn(4, 7) for name in features}
    memory_logits, frame_logits = torch.randn(4, 7), torch.randn(4 * frames, 7)

    def cross_entropy(scores, targets):
        total = 0.0
        for row, target in zip(scores, targets, strict=True):
            log = (row - row.exp().sum().log()).tolist()
            total -= sum((0.9 * (y == int(target)) + 0.1 / 7) * log[y] for y in range(7))
        return total / len(scores)

    def triplet(rows):
        total = 0.0
        for i in range(4):
            gaps = [float((rows[i] - rows[j]).pow(2).sum().clamp(min=1e-12).sqrt()) for j in range(4)]
            positive = max(gaps[j] for j in range(4) if labels[j] == labels[i])
            negative = min(gaps[j] for j in range(4) if labels[j] != labels[i])
            total += max(0.0, positive - negative + 0.3)
        return total / 4

    expected = 0.25 * sum(cross_entropy(rows, labels) for rows in logits.values())
    expected += sum(triplet(rows) for rows in features.values())
    expected += cross_entropy(memory_logits, labels)
    expected += cross_entropy(frame_logits, [label for label in labels for _ in range(frames)]) / frames
    output = tfclip.training_output(features, logits, memory_logits, frame_logits, labels, 0.1)
    total, _ = combine(output, labels, tfclip.RECIPES["full"])
    assert float(total) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_tmd_equals_a_loop_over_frames():
    tmd = tfclip.TemporalMemoryDiffusion(width=24, heads=2).eval()
    tokens = torch.randn(2, 3, 5, 24)
    for clip, result in zip(tokens, tmd(tokens), strict=True):
        messages = torch.stack([tmd.message_fc(frame.mean(0)) for frame in clip])
        messages = messages + tmd.message_attn(tmd.message_ln(messages)[None])[0]
        for frame, message, vector in zip(clip, messages, result, strict=True):
            x = torch.cat([frame, message[None]])[None]
            torch.testing.assert_close(tmd.block(x)[0].mean(0), vector)


@torch.no_grad()
def test_memory_logits_equal_a_loop():
    model = filled().eval()
    projection, tokens = torch.randn(3, 128), torch.randn(3, 129, 128)
    scores = model.memory_logits(projection, tokens, model.memory)
    for b in range(3):
        adapted = model.memory + model.ssp(model.memory, tokens[b : b + 1])[0]
        for y in range(CLASSES):
            assert float(scores[b, y]) == pytest.approx(float(projection[b] @ adapted[y]), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("variant", ["", *tfclip.VARIANTS])
def test_gradients_reach_what_trains_and_nothing_else(variant):
    recipe = zoo.recipe(f"tfclip/{variant}".rstrip("/"), "tiny")
    model = filled(recipe).train()
    optimiser = make_optimiser(model, recipe)
    clips, cameras, labels = batch()
    total, parts = combine(model(clips, cameras, labels), labels, recipe)
    total.backward()
    trained = {id(p) for group in optimiser.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in trained), name
    assert ("memory" in parts) == recipe.memory
    assert ("frames" in parts) == recipe.tmd
    assert model.embed(clips, cameras).shape == (4, 192 + 128 + (192 if recipe.tmd else 0))


def test_tmd_does_not_train_the_image_tower():
    model = filled()
    clips, cameras, _ = batch()
    features, _, of_frames = model.features(clips, cameras)
    (features["clip"].sum() + of_frames.sum()).backward()
    assert all(parameter.grad is None for parameter in model.image.parameters())


def test_the_classifier_of_tmd_has_its_own_rate():
    model, recipe = filled(), tfclip.RECIPES["full"]
    model.recipe = recipe
    factors = parameter_factors(model, recipe)
    assert factors["necks.clip.classifier.weight"] == 10
    assert factors["image.proj"] == 1
    assert factors["image.ln_post.bias"] == 2
    assert factors["necks.clip.norm.bias"] == 0


def test_the_camera_changes_the_feature_and_zero_does_not():
    model = filled().eval()
    clips, cameras, _ = batch()
    with torch.no_grad():
        plain = model.embed(clips, cameras)
        torch.testing.assert_close(model.embed(clips, (cameras + 1) % CAMERAS), plain)  # as built: zero
        model.cameras.normal_()
        assert not torch.allclose(model.embed(clips, (cameras + 1) % CAMERAS), model.embed(clips, cameras))


def test_prepare_fills_the_memory_from_frames_without_camera():
    model = filled()
    with torch.no_grad():
        model.cameras.normal_()
    frames = Frames(tuple("abcde"))
    train = tuple(Tracklet(str(i), 10 * (i % CLASSES), i % CAMERAS, frames) for i in range(2 * CLASSES))
    dataset = ReidDataset("made-up", train, (), (), "video-reid")
    pixels = [torch.randn(5, 3, 128, 64) for _ in train]

    def extract(tracklets, function):
        with torch.no_grad():
            return [function(x, torch.zeros(5, dtype=torch.long)) for x in pixels[: len(tracklets)]]

    model.train()
    model.prepare(dataset, extract)
    assert model.training
    with torch.no_grad():
        first = [model.image(pixels[i]).projected[:, 0] for i in (0, CLASSES)]
    # five frames as clips of four: the fifth makes a clip of its own
    expected = sum((f[:4].mean(0) + f[4]) / 2 for f in first) / 2
    torch.testing.assert_close(model.memory[0], expected, atol=1e-4, rtol=1e-4)


def test_the_memory_follows_only_where_the_recipe_says_so():
    clips, cameras, labels = batch()
    for momentum in (1.0, 0.8):
        model = filled(dataclasses.replace(TINY, memory_momentum=momentum)).train()
        before = model.memory.clone()
        combine(model(clips, cameras, labels), labels, TINY)[0].backward()
        changed = (model.memory != before).any(1).tolist()
        assert changed == ([False] * 5 if momentum == 1 else [True, False, False, True, False])
    model.eval()
    before = model.memory.clone()
    model(clips, cameras, labels)
    assert torch.equal(model.memory, before)


@pytest.mark.parametrize("variant", ["", "no-ssp"])
def test_memory_logits_are_float32_under_autocast(variant):
    model = filled(zoo.recipe(f"tfclip/{variant}".rstrip("/"), "tiny")).eval()
    clips, cameras, labels = batch()
    projection, tokens = 30 * torch.randn(4, 128), torch.randn(4, 129, 128)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = model.memory_logits(projection, tokens, model.memory)
        prompt = 0 if model.ssp is None else model.ssp(model.memory, tokens).float()
        output = model(clips, cameras, labels)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, ((model.memory + prompt) * projection[:, None]).sum(2), atol=1e-2, rtol=1e-4)
    assert all(bool(torch.isfinite(loss)) for loss in output.losses.values())


def test_our_own_names_pass_through_the_converter():
    state = filled().state_dict()
    assert tfclip.convert(state).keys() == state.keys()


@pytest.mark.slow
def test_a_step_at_full_size():
    recipe = tfclip.RECIPES["full"].changed(pretrained="", frames=2)
    model = tfclip.build(recipe, 6, 2).train()
    optimiser = make_optimiser(model, recipe)
    labels = torch.tensor([0, 0, 1, 1])
    clips, cameras = torch.randn(4, 2, 3, 256, 128), torch.tensor([0, 1, 0, 1])
    losses = []
    for _ in range(2):
        total, _ = combine(model(clips, cameras, labels), labels, recipe)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(float(total.detach()))
    assert all(torch.isfinite(torch.tensor(losses)))
