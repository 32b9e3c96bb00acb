"""The caption bank: where captions come from, what the encoders make of them, the contrast against plain loops."""

import dataclasses
import json
import math

import pytest
import torch

from reidkit.cgclip.captions import (
    CaptionBank,
    EncodedCaption,
    captions_by_identity,
    encode_clip,
    encode_words,
)
from reidkit.datasets import UsageError
from reidkit.datasets.captions import read_captions, texts_by_identity


def test_captions_of_an_identity_are_gathered_over_its_tracklets(dataset) -> None:
    texts = captions_by_identity(dataset, "any")
    assert texts[0] == (
        "a person with red shoes, camera 0 of the hall",
        "a person with red shoes, camera 1 of the hall",
    )
    assert 3 not in texts  # grey has none
    assert captions_by_identity(dataset, "any", limit=1)[0] == texts[0][:1]
    assert captions_by_identity(dataset, "none") == {}


def write_lines(dataset, *lines: str) -> None:
    (dataset.root / "captions.jsonl").write_text("".join(lines))


def line(tracklet: str, captioner: str, text: str, *doubts: str) -> str:
    return json.dumps({"tracklet": tracklet, "text": text, "captioner": captioner, "doubts": doubts}) + "\n"


def test_a_named_source_takes_its_own_captioners_lines(dataset) -> None:
    write_lines(
        dataset,
        line("red-0", "template", "from the table"),
        line("red-0", "endpoint", "from a server"),
        line("red-1", "transformers", "from a local model"),
        line("red-1", "endpoint", "cut by a kill")[:-5],
    )
    assert captions_by_identity(dataset, "template") == {0: ("from the table",)}
    assert captions_by_identity(dataset, "mllm") == {0: ("from a server", "from a local model")}
    with pytest.raises(UsageError, match=r"no captions by attributes .*endpoint, template, transformers"):
        captions_by_identity(dataset, "attributes")


def test_a_named_source_gives_what_any_gives_where_there_is_no_other(dataset) -> None:
    write_lines(
        dataset,
        line("red-1", "endpoint", "I cannot describe people", "refusal"),
        line("red-1", "endpoint", "red shoes"),
        line("red-0", "endpoint", "a red cap"),
        line("red-0", "endpoint", "red shoes", "contradicts red-1"),
        line("green-0", "endpoint", "green?", "too short"),
        line("somebody-else", "endpoint", "not of this dataset"),
    )
    identity_of = {t.id: t.identity for t in dataset.train}
    all_texts = texts_by_identity(read_captions(dataset.root), identity_of)
    train = tuple(dataclasses.replace(t, captions=all_texts.get(t.identity, ())) for t in dataset.train)
    expected = {0: ("red shoes", "a red cap", "I cannot describe people"), 1: ("green?",)}
    assert captions_by_identity(dataclasses.replace(dataset, train=train), "any") == expected
    assert captions_by_identity(dataset, "mllm") == expected
    assert captions_by_identity(dataset, "mllm", limit=2)[0] == ("red shoes", "a red cap")


def test_a_named_source_without_any_file(dataset) -> None:
    with pytest.raises(UsageError, match=r"captioners in its captions\.jsonl: none"):
        captions_by_identity(dataset, "template")


def test_people_who_share_an_attribute_share_a_direction() -> None:
    texts = [["black hair, red shoes"], ["brown hair, red shoes"], ["black hair, blue shoes"], ["fair hair, red socks"]]
    features = torch.stack([row[0].feature for row in encode_words(texts, width=512)])
    alike = torch.nn.functional.cosine_similarity(features[:1], features[1:])
    assert alike[0] > alike[2] + 0.2  # red shoes, shared, against "red" and "shoes" in other company
    torch.testing.assert_close(features.mean(0), torch.zeros(512), atol=1e-5, rtol=0)  # what all share cancels out


def test_words_are_the_same_in_every_process_and_order() -> None:
    one, two = encode_words([["red shoes"], ["blue socks"]], 16), encode_words([["blue socks"], ["red shoes"]], 16)
    assert torch.equal(one[0][0].tokens, two[1][0].tokens)
    assert one[0][0].tokens.shape == (2, 16)
    assert float(one[0][0].tokens[0, 0]) == pytest.approx(float(encode_words([["red"]], 16)[0][0].tokens[0, 0]))


@pytest.mark.parametrize(
    "texts",
    [
        [[], []],  # nobody has a caption
        [["…"], ["?!"]],  # captions without a word
        [["same"], ["same"]],  # everybody has the same: nothing is left of it
    ],
)
def test_nothing_told_is_no_nan(texts) -> None:
    bank = CaptionBank(2, 8)
    bank.fill(encode_words(texts, 8), limit=10)
    assert torch.isfinite(bank.prototypes).all()
    assert torch.isfinite(bank.contrast(torch.randn(4, 8), torch.tensor([0, 0, 1, 1]), 0.1))


def test_clip_encoder_drops_start_and_end_and_asks_once_for_each_text() -> None:
    asked = []

    def tokens_of(texts: list[str]):
        asked.extend(texts)
        tokens = torch.arange(6.0)[None, :, None].expand(len(texts), 6, 2)
        return tokens, torch.ones(len(texts), 2), torch.tensor([len(text) + 2 for text in texts])

    encoded = encode_clip([["aa", "b"], [], ["aa"]], tokens_of, batch=1)
    assert sorted(asked) == ["aa", "b"]
    assert [[c.tokens[:, 0].tolist() for c in row] for row in encoded] == [[[1.0, 2.0], [1.0]], [], [[1.0, 2.0]]]


def caption(length: int, value: float = 1.0) -> EncodedCaption:
    return EncodedCaption(torch.full((length, 4), value), torch.eye(4)[int(value) % 4])


def test_bank_shares_the_room_and_counts_what_did_not_fit() -> None:
    bank = CaptionBank(3, 4)
    lost = bank.fill([[caption(5, 1.0), caption(2, 2.0)], [], [caption(3, 3.0)]], limit=6)
    assert lost == 2  # 6 // 2 = 3 tokens a caption; the first has 5
    assert bank.tokens[0, :, 0].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]
    assert bank.mask.sum(1).tolist() == [5, 0, 3]
    assert bank.known.tolist() == [True, False, True]
    expected = torch.tensor([0.0, 1.0, 1.0, 0.0]) / math.sqrt(2)
    torch.testing.assert_close(bank.prototypes[0], expected)


def loop_contrast(bank: CaptionBank, videos, labels, temperature: float) -> float:
    """Both directions, one clip and one identity at a time."""
    rows = [i for i, label in enumerate(labels.tolist()) if bank.known[label]]
    identities = sorted({int(labels[i]) for i in rows})

    def similarity(i: int, y: int) -> float:
        v = videos[i] / videos[i].norm()
        return float(v @ bank.prototypes[y]) / temperature

    to_text = 0.0
    for i in rows:
        total = sum(math.exp(similarity(i, y)) for y in identities)
        to_text -= math.log(math.exp(similarity(i, int(labels[i]))) / total) / len(rows)
    to_video = 0.0
    for y in identities:
        total = sum(math.exp(similarity(i, y)) for i in rows)
        own = [i for i in rows if labels[i] == y]
        to_video -= sum(math.log(math.exp(similarity(i, y)) / total) for i in own) / len(own) / len(identities)
    return (to_text + to_video) / 2


def test_contrast_equals_loops() -> None:
    torch.manual_seed(0)
    bank = CaptionBank(5, 8)
    texts = [[EncodedCaption(torch.randn(2, 8), torch.randn(8))] if y != 3 else [] for y in range(5)]
    bank.fill(texts, limit=4)
    videos, labels = torch.randn(7, 8), torch.tensor([0, 0, 1, 3, 3, 4, 1])  # 3 has no caption
    assert float(bank.contrast(videos, labels, 0.2)) == pytest.approx(
        loop_contrast(bank, videos, labels, 0.2), rel=1e-4
    )


def test_contrast_without_any_caption_is_zero_and_differentiable() -> None:
    bank = CaptionBank(2, 8)
    videos = torch.randn(4, 8, requires_grad=True)
    loss = bank.contrast(videos, torch.tensor([0, 0, 1, 1]), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert not videos.grad.any()
