"""The towers against open_clip's own, and each piece against plain arithmetic."""

import copy

import pytest
import torch

from reidkit.baselines import clip as ours
from reidkit.baselines.clip import encode_text, load_clip, resize_positions, tokenize
from reidkit.datasets import UsageError


@pytest.fixture(scope="module")
def tiny():
    return load_clip("tiny", "", height=128, width=64, seed=3)


def open_clip_twin(tiny):
    """open_clip's model of the same configuration with our weights."""
    import open_clip

    vision = {**ours.TINY["vision_cfg"], "image_size": (128, 64)}
    sizes = {"embed_dim": ours.TINY["embed_dim"], "quick_gelu": True}
    twin = open_clip.CLIP(vision_cfg=vision, text_cfg=ours.TINY["text_cfg"], **sizes)
    state = {f"visual.{name}": value for name, value in tiny.image.state_dict().items()} | tiny.text.state_dict()
    report = twin.load_state_dict(state, strict=False)
    assert not report.unexpected_keys
    assert report.missing_keys == ["logit_scale"]
    return twin.eval()


@torch.no_grad()
def test_both_towers_equal_open_clip(tiny):
    twin = open_clip_twin(tiny)
    images = torch.randn(3, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    tokens = tokenize(["A photo of a person in a red shirt.", "dancer", "a " * 100])  # the last is longer than 77
    torch.testing.assert_close(tiny.image(images).projected[:, 0], twin.encode_image(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tiny.text(tokens)[1], twin.encode_text(tokens), atol=1e-5, rtol=1e-5)


def test_tiny_has_the_size_it_says_and_depends_on_the_seed_only(tiny):
    count = sum(p.numel() for tower in (tiny.image, tiny.text) for p in tower.parameters())
    assert 7.6e6 < count < 7.8e6
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = load_clip("tiny", "", height=128, width=64, seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # the caller's generator is left alone
    assert all(torch.equal(a, b) for a, b in zip(tiny.image.parameters(), again.image.parameters(), strict=True))
    other = load_clip("tiny", "", height=128, width=64, seed=4)
    assert not torch.equal(tiny.image.proj, other.image.proj)


@torch.no_grad()
def test_the_three_token_outputs_belong_together(tiny):
    images = torch.randn(2, 3, 128, 64)
    tokens = tiny.image(images)
    assert tokens.penultimate.shape == tokens.final.shape == (2, 129, 192)
    last = tiny.image.ln_post(tiny.image.transformer.resblocks[-1](tokens.penultimate))
    torch.testing.assert_close(tokens.final, last)
    torch.testing.assert_close(tokens.projected, last @ tiny.image.proj)
    # a zero offset changes nothing, another one does
    torch.testing.assert_close(tiny.image(images, torch.zeros(2, 192)).final, tokens.final)
    moved = tiny.image(images, 3 * torch.randn(2, 192)).final
    assert (moved - tokens.final).abs().max() > 0.1
    with pytest.raises(ValueError, match="built for"):
        tiny.image(images[..., :32])


@torch.no_grad()
def test_text_is_causal_and_learned_embeddings_take_the_same_way(tiny):
    tokens = tokenize(["A photo of a person.", "A photo of a tall man."])
    outputs, feature = tiny.text(tokens)
    torch.testing.assert_close(outputs[0, :5], outputs[1, :5])  # the same first words
    assert not torch.allclose(outputs[0, 5], outputs[1, 5])
    torch.testing.assert_close(feature[0], outputs[0, tokens[0].tolist().index(49407)])
    ends = tokens.argmax(1)
    torch.testing.assert_close(tiny.text.from_embeddings(tiny.text.token_embedding(tokens), ends)[1], feature)
    torch.testing.assert_close(encode_text(tiny, ["A photo of a person."])[1], feature[:1])


def test_attention_equals_a_loop_over_heads(tiny):
    attention = tiny.image.transformer.resblocks[0].attn
    x = torch.randn(2, 5, 192)
    rows = []
    for sample in x:
        q, k, v = (sample @ attention.in_proj_weight.T + attention.in_proj_bias).split(192, dim=1)
        heads = []
        for h in range(attention.heads):
            part = slice(64 * h, 64 * (h + 1))
            weights = (q[:, part] @ k[:, part].T / 64**0.5).softmax(dim=1)
            heads.append(weights @ v[:, part])
        rows.append(attention.out_proj(torch.cat(heads, dim=1)))
    torch.testing.assert_close(attention(x), torch.stack(rows), atol=1e-5, rtol=1e-5)


def test_layer_norm_computes_in_float32():
    x = (100 + torch.randn(4, 192)).bfloat16()  # where bf16 would lose the variance
    norm = ours.LayerNorm(192).bfloat16()
    y = norm(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, torch.nn.functional.layer_norm(x.float(), (192,)).bfloat16())


def slow_resize(square, rows, columns):
    """Bilinear with half-pixel centres and clamped borders, value by value."""
    height, width = square.shape[:2]
    out = torch.zeros(rows, columns, square.shape[2])
    for r in range(rows):
        for c in range(columns):
            y, x = ((r + 0.5) * height / rows - 0.5, (c + 0.5) * width / columns - 0.5)
            y, x = max(y, 0.0), max(x, 0.0)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            top = square[y0, x0] * (1 - (x - x0)) + square[y0, x1] * (x - x0)
            bottom = square[y1, x0] * (1 - (x - x0)) + square[y1, x1] * (x - x0)
            out[r, c] = top * (1 - (y - y0)) + bottom * (y - y0)
    return out


def test_positions_are_resized_bilinearly_without_antialiasing():
    positions = torch.randn(1 + 14 * 14, 6)
    resized = resize_positions(positions, (16, 8))
    assert torch.equal(resized[0], positions[0])
    expected = slow_resize(positions[1:].view(14, 14, 6), 16, 8).view(128, 6)
    torch.testing.assert_close(resized[1:], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(resize_positions(resized, (16, 8)), resized)


def test_a_grid_twice_as_high_as_wide_is_resized_too():
    positions = torch.randn(1 + 16 * 8, 6)
    expected = slow_resize(positions[1:].view(16, 8, 6), 4, 2).view(8, 6)
    torch.testing.assert_close(resize_positions(positions, (4, 2))[1:], expected, atol=1e-5, rtol=1e-5)
    odd = torch.randn(1 + 12, 6)
    assert resize_positions(odd, (4, 2)) is odd  # neither a square nor two: left as it is


@torch.no_grad()
def test_simulated_weights_are_the_same_each_time_and_the_seed_gives_the_words_they_lack():
    first, again, other = (load_clip("tiny", "simulated", 128, 64, seed) for seed in (0, 0, 1))
    images = torch.randn(2, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    texts = ["number 23 on the back, red shoes", "zebra"]
    features = first.image(images).projected[:, 0]
    assert torch.equal(features, again.image(images).projected[:, 0])
    assert torch.equal(encode_text(first, texts)[1], encode_text(again, texts)[1])
    # nothing of the image tower is left to the seed, and of the words only those that never occurred
    assert torch.equal(features, other.image(images).projected[:, 0])
    seen, unseen = encode_text(first, texts)[1]
    assert torch.equal(seen, encode_text(other, texts)[1][0])
    assert not torch.equal(unseen, encode_text(other, texts)[1][1])
    scratch = load_clip("tiny", "", 128, 64, seed=1).text.token_embedding.weight
    assert not torch.equal(first.image.proj, load_clip("tiny", "", 128, 64).image.proj)
    word = tokenize(["zebra"])[0, 1]
    assert torch.equal(other.text.token_embedding.weight[word], scratch[word])


@pytest.mark.parametrize(
    ("rows", "width"),
    [
        ([3, 70000], 128),  # a row that the table hasn't got
        ([3, 5], 64),  # embeddings of another width
        ([3, 5, 7], 128),  # more rows than embeddings
        ([], 128),  # no row
    ],
)
def test_rows_that_do_not_fit_are_refused(tiny, tmp_path, rows, width):
    state = {f"visual.{name}": value for name, value in tiny.image.state_dict().items()} | tiny.text.state_dict()
    state["token_embedding.weight"] = torch.zeros(min(len(rows), 2), width)
    state["token_embedding.rows"] = torch.tensor(rows, dtype=torch.int32)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(UsageError, match="token embeddings are"):
        load_clip("tiny", str(tmp_path / "clip.pt"), height=128, width=64)


@pytest.mark.parametrize("layout", ["open_clip", "openai", "wrapped"])
def test_weights_from_a_file(tiny, tmp_path, layout):
    from safetensors.torch import save_file

    state = {f"visual.{name}": value.clone() for name, value in tiny.image.state_dict().items()}
    state |= {name: value.clone() for name, value in tiny.text.state_dict().items()}
    # CLIP's own position embedding is square; this one is 8 x 8
    state["visual.positional_embedding"] = torch.randn(65, 192)
    path = tmp_path / ("clip.safetensors" if layout == "open_clip" else "clip.pt")
    if layout == "open_clip":
        save_file(state, path)
    elif layout == "openai":  # half precision, and scalars among the tensors
        torch.save({name: v.half() for name, v in state.items()} | {"context_length": torch.tensor(77)}, path)
    else:
        torch.save({"state_dict": {f"module.{name}": v for name, v in state.items()}, "epoch": 3}, path)
    found = load_clip("tiny", str(path), height=128, width=64, seed=8)
    expected = resize_positions(state["visual.positional_embedding"], (16, 8))
    torch.testing.assert_close(found.image.positional_embedding.data, expected, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(found.text.text_projection, tiny.text.text_projection, atol=1e-3, rtol=1e-3)


def test_what_has_no_place_is_said(tiny, tmp_path, capsys):
    state = {f"visual.{name}": value for name, value in tiny.image.state_dict().items()} | tiny.text.state_dict()
    torch.save({**state, "logit_scale": torch.tensor(4.6), "visual.extra": torch.ones(1)}, tmp_path / "clip.pt")
    load_clip("tiny", str(tmp_path / "clip.pt"), height=128, width=64)
    assert "1 entries have no place in the image tower: extra" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "pretrained", "size", "sentence"),
    [
        (
            "ViT-B-16-quickgelu",
            "openai",
            (256, 128),
            "`reidkit weights get clip`.*--from-scratch",
        ),  # a known tag that is in no cache
        ("ViT-B-16-quickgelu", "opena", (256, 128), "Did you mean 'openai'"),
        ("ViT-B-16", "openai", (256, 128), "ViT-B-16-quickgelu"),  # the wrong activation for these weights
        ("RN50", "openai", (256, 128), "Unknown CLIP backbone"),
        ("tiny", "openai", (128, 64), "no weights 'openai' for the tiny CLIP"),
        ("tiny", "weights/none.pt", (128, 64), "There is no file"),
        ("tiny", "", (100, 64), "cannot be cut into 8x8 patches"),
    ],
)
def test_errors_name_the_fix(monkeypatch, name, pretrained, size, sentence):
    monkeypatch.setattr("reidkit.baselines.clip_weights._cached", lambda entry: None)
    monkeypatch.setattr(ours, "ImageTower", lambda config: torch.nn.Linear(1, 1))  # building ViT-B takes seconds
    monkeypatch.setattr(ours, "TextTower", lambda config: torch.nn.Linear(1, 1))
    with pytest.raises(UsageError, match=sentence):
        load_clip(name, pretrained, *size)


def test_weights_of_another_model_are_refused(tiny, tmp_path):
    state = {f"visual.{name}": value for name, value in tiny.image.state_dict().items()} | tiny.text.state_dict()
    missing = copy.copy(state)
    del missing["text_projection"]
    torch.save(missing, tmp_path / "clip.pt")
    with pytest.raises(UsageError, match="'text_projection' first"):
        load_clip("tiny", str(tmp_path / "clip.pt"), height=128, width=64)
    state["visual.proj"] = torch.zeros(3, 3)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(UsageError, match="'proj' first"):
        load_clip("tiny", str(tmp_path / "clip.pt"), height=128, width=64)


@pytest.mark.parametrize("model", ["tfclip", "clipreid", "vslaclip", "cgclip"])
def test_new_parts_have_a_rate_of_their_own_and_pretrained_ones_the_recipes(model):
    from reidkit.training import zoo

    recipe = zoo.recipe(model, "tiny", ("pretrained=", "new_lr_factor=7"))
    built = zoo.module(model).build(recipe, 3, 2)
    pretrained = {f"image.{name}" for name in load_clip("tiny", "", 128, 64).image.state_dict()}
    rates = {name: built.lr_factor(name) for name, _ in built.named_parameters() if name != "cmr.gate"}
    assert {name for name, rate in rates.items() if rate == 1} == pretrained
    assert {rate for name, rate in rates.items() if name not in pretrained} == {7}


def test_published_recipes_have_the_authors_one_rate():
    from reidkit.training import zoo

    assert [zoo.recipe(m, "full").new_lr_factor for m in ("tfclip", "clipreid", "vslaclip")] == [1, 1, 1]
