"""CG-CLIP as a whole: variants, gradients, prepare, checkpoints, a training that learns."""

import dataclasses
import json

import pytest
import torch

from reidkit.cgclip import model as cgclip
from reidkit.datasets import UsageError
from reidkit.training import checkpoint, zoo
from reidkit.training.losses import combine
from reidkit.training.model import prepare
from reidkit.training.optimiser import make_optimiser, parameter_factors


def ready(recipe, dataset, extract, classes: int = 4):
    torch.manual_seed(0)
    model = cgclip.build(recipe, classes, 2)
    prepare(model, dataset, extract)
    return model.train()


def step(model, recipe, optimiser, batch):
    loss, parts = combine(model(*batch), batch[2], recipe)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach()), parts


@pytest.mark.parametrize("variant", ["", *cgclip.VARIANTS])
def test_every_variant_builds_and_takes_a_step(variant, recipe, dataset, extract, batch) -> None:
    lines = [{"tracklet": t.id, "text": t.captions[0], "captioner": c} for t in dataset.train[:4] for c in CAPTIONERS]
    (dataset.root / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    recipe = dataclasses.replace(recipe, **cgclip.VARIANTS.get(variant, {}))
    model = ready(recipe, dataset, extract)
    loss, parts = step(model, recipe, make_optimiser(model, recipe), batch())
    assert torch.isfinite(torch.tensor(loss))

    alone = variant == "memory-only"
    features = {"image", "projection"} | (set() if alone else {"tfe"})
    assert {name for name in parts if "/" in name} == {f"{kind}/{f}" for kind in ("id", "triplet") for f in features}
    assert ("captions" in parts) == (variant not in ("captions-none", "memory-only"))
    assert (model.cmr is None) == (variant in ("no-cmr", "memory-only"))
    assert (model.tfe is None) == (variant in ("no-tfe", "memory-only"))
    with torch.inference_mode():
        assert model.eval().embed(*batch()[:2]).shape == (8, 192 + 128 + (0 if alone else 192))


@pytest.mark.parametrize("variant", ["", "no-cmr"])
def test_memory_logits_are_float32_under_autocast(variant, recipe, dataset, extract, batch) -> None:
    model = ready(dataclasses.replace(recipe, **cgclip.VARIANTS.get(variant, {})), dataset, extract).eval()
    if model.cmr is not None:
        torch.nn.init.constant_(model.cmr.gate, 0.5)
    clips, cameras, labels = batch()
    # scores of some hundreds, where neighbouring bf16 numbers are 1 or 2 apart
    projection, memory = 30 * torch.randn(len(clips), 128), 3 * torch.randn(4, 128)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        tokens = model.features(clips)[1]
        scores = model.memory_logits(projection, tokens, memory)
        refined = memory[None]
        if model.cmr is not None:
            refined = model.cmr(memory, model.bank.tokens, model.bank.mask, tokens).float()
        output = model(clips, cameras, labels)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, (refined * projection[:, None]).sum(2), atol=1e-2, rtol=1e-4)
    assert all(bool(torch.isfinite(loss)) for loss in output.losses.values())


CAPTIONERS = ("template", "attributes", "transformers")


@pytest.mark.parametrize("variant", ["", "no-cmr", "no-tfe", "captions-none", "memory-only"])
def test_gradients_reach_every_trainable_parameter_and_no_frozen_one(variant, recipe, dataset, extract, batch) -> None:
    recipe = dataclasses.replace(recipe, **cgclip.VARIANTS.get(variant, {}))
    model = ready(recipe, dataset, extract)
    if model.cmr is not None:
        torch.nn.init.constant_(model.cmr.gate, 0.5)  # at zero nothing but the gate itself has one
    factors = parameter_factors(model, recipe)
    loss, _ = combine(model(*batch()), batch()[2], recipe)
    loss.backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without == {name for name in factors if factors[name] == 0}
    assert without == {f"necks.{name}.norm.bias" for name in model.necks}


def test_at_the_start_the_refined_memory_is_the_memory(recipe, dataset, extract, batch) -> None:
    plain = ready(dataclasses.replace(recipe, cmr=False), dataset, extract)
    refined = ready(recipe, dataset, extract)
    assert torch.equal(plain.memory, refined.memory)
    with torch.no_grad():
        a, b = plain(*batch()).losses["memory"], refined(*batch()).losses["memory"]
    torch.testing.assert_close(a, b)


def test_memory_rows_are_means_over_the_identity(recipe, dataset, extract) -> None:
    model = ready(recipe.changed(memory_frames=0), dataset, extract).eval()
    frames = extract(dataset.train[:2], lambda images, cameras: model.image(images).projected[:, 0].detach())
    # clips of 2: the third frame is a clip of its own, filled up by repetition
    expected = sum((f[:2].mean(0) + f[2]) / 2 for f in frames) / 2
    torch.testing.assert_close(model.memory[0], expected, rtol=1e-4, atol=1e-5)


def test_frozen_memory_stays_and_a_moving_one_follows_the_batch(recipe, dataset, extract, batch) -> None:
    clips, cameras, labels = (part[:4] for part in batch())  # identities 0 and 1
    for momentum, moved in ((1.0, [False] * 4), (0.5, [True, True, False, False])):
        model = ready(dataclasses.replace(recipe, memory_momentum=momentum), dataset, extract)
        before = model.memory.clone()
        loss, _ = combine(model(clips, cameras, labels), labels, recipe)
        loss.backward()
        assert ((model.memory - before).abs().amax(1) > 0).tolist() == moved
        unmoved = model.memory.clone()
        with torch.no_grad():
            model.eval()(clips, cameras, labels)
        assert torch.equal(model.memory, unmoved)  # outside training it never does


def test_what_captions_say_changes_the_loss(recipe, dataset, extract, batch) -> None:
    def parts(captions: str, source):
        train = tuple(dataclasses.replace(t, captions=(captions.format(t.identity),)) for t in source.train)
        model = ready(recipe, dataclasses.replace(source, train=train), extract)
        torch.nn.init.constant_(model.cmr.gate, 0.5)
        with torch.no_grad():
            return model(*batch()).losses

    one, other = parts("number {} on the back", dataset), parts("number {}7 on the back", dataset)
    assert (one["captions"] - other["captions"]).abs() > 1e-4
    assert (one["memory"] - other["memory"]).abs() > 1e-6  # through CMR: captions shape the prototypes


def test_swapped_captions_are_all_somebody_elses() -> None:
    told = [("a",), ("b", "bb"), (), ("c",), ("d",), ("e",)]
    moved = cgclip.swapped(told)
    assert sorted(moved) == sorted(told)
    assert moved[2] == ()
    assert all(new != old for new, old in zip(moved, told, strict=True) if old)
    assert cgclip.swapped([("a",), (), ("b",)]) == [("b",), (), ("a",)]
    assert cgclip.swapped([(), ("only",)]) == [(), ("only",)]


def test_swapped_captions_reach_the_bank(recipe, dataset, extract) -> None:
    true, control = (
        ready(dataclasses.replace(recipe, captions_swapped=s), dataset, extract).bank for s in (False, True)
    )
    order = cgclip.swapped([(label,) if known else () for label, known in enumerate(true.known.tolist())])
    for label, source in enumerate(order):
        expected = true.prototypes[source[0]] if source else torch.zeros(true.prototypes.shape[1])
        torch.testing.assert_close(control.prototypes[label], expected)


def test_a_checkpoint_carries_memory_and_captions(recipe, dataset, extract, batch, tmp_path) -> None:
    model = ready(recipe, dataset, extract).eval()
    checkpoint.save_weights(tmp_path / "model.safetensors", model)
    again = cgclip.build(dataclasses.replace(recipe, seed=5), 4, 2).eval()
    weights = checkpoint.read_weights(tmp_path / "model.safetensors")
    checkpoint.load_into(again, weights, source="the test")
    with torch.no_grad():
        one, two = model(*batch()), again(*batch())
    assert again.bank.tokens.shape == model.bank.tokens.shape
    assert {k: float(v) for k, v in one.losses.items()} == {k: float(v) for k, v in two.losses.items()}


def test_it_learns(recipe, dataset, extract, batch) -> None:
    recipe = dataclasses.replace(recipe, lr=1e-3)
    model = ready(recipe, dataset, extract)
    optimiser = make_optimiser(model, recipe)
    losses = [step(model, recipe, optimiser, batch(seed))[0] for seed in range(30)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert model.cmr.gate.abs() > 0.01


def test_attention_sums_to_one_over_patches_and_class_tokens(recipe, dataset, extract, batch) -> None:
    model = ready(recipe, dataset, extract).eval()
    maps, on_class = model.attention(batch()[0])
    assert maps.shape == (8, 3, 2, 4, 2)
    torch.testing.assert_close(maps.sum((2, 3, 4)) + on_class.sum(2), torch.ones(8, 3))
    with pytest.raises(ValueError, match="no TFE"):
        ready(dataclasses.replace(recipe, tfe=False), dataset, extract).attention(batch()[0])


def test_rates_by_part(recipe) -> None:
    model = cgclip.build(dataclasses.replace(recipe, new_lr_factor=10, gate_lr_factor=1000), 4, 2)
    assert [model.lr_factor(name) for name in ("image.proj", "tfe.tokens", "cmr.gate")] == [1, 10, 1000]


def test_zoo_knows_the_variants() -> None:
    assert zoo.recipe("cgclip/k4", "tiny").tokens == 4
    assert zoo.recipe("cgclip/no-cmr", "full", ("caption_weight=0.1",)).cmr is False
    with pytest.raises(UsageError, match="no-cmr"):
        zoo.recipe("cgclip/no-crm", "tiny")


def test_full_size_without_weights_says_how(monkeypatch, tmp_path) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    recipe = dataclasses.replace(cgclip.RECIPES["full"], pretrained=str(tmp_path / "absent.pt"))
    with pytest.raises(UsageError, match=r"absent\.pt"):
        cgclip.build(recipe, 2, 1)


@pytest.mark.slow
def test_a_step_at_full_size(dataset) -> None:
    recipe = dataclasses.replace(cgclip.RECIPES["full"], pretrained="", memory_frames=1)

    def extract(tracklets, function):
        images = [torch.randn(len(t.frames), 3, 256, 128) for t in tracklets]
        return [function(image, torch.zeros(len(image), dtype=torch.long)) for image in images]

    model = ready(recipe, dataset, extract)
    torch.nn.init.constant_(model.cmr.gate, 0.1)
    batch = torch.randn(4, 8, 3, 256, 128), torch.zeros(4, dtype=torch.long), torch.tensor([0, 0, 1, 1])
    loss, _ = step(model, recipe, make_optimiser(model, recipe), batch)
    assert torch.isfinite(torch.tensor(loss))
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)
    with torch.inference_mode():
        assert model.eval().embed(*batch[:2]).shape == (4, 768 + 512 + 768)


def test_captions_go_through_the_trained_text_tower_and_from_scratch_through_words(
    recipe, dataset, extract, monkeypatch
) -> None:
    took = []
    for name in ("encode_clip", "encode_words"):
        real = getattr(cgclip, name)
        monkeypatch.setattr(cgclip, name, lambda *a, real=real, name=name: took.append(name) or real(*a))
    assert recipe.pretrained == "simulated"
    prototypes = ready(recipe, dataset, extract).bank.prototypes
    assert prototypes[:3].norm(dim=1).allclose(torch.ones(3))
    ready(dataclasses.replace(recipe, pretrained=""), dataset, extract)
    assert took == ["encode_clip", "encode_words"]
