"""The prompt stage: layout, what trains, that it learns, and its schedule."""

import dataclasses
import math

import pytest
import torch

from reidkit.baselines.clip import load_clip, tokenize
from reidkit.baselines.clipreid import RECIPES, TEMPLATE
from reidkit.baselines.prompts import Prompts, encode_prompts, prompt_rate, train_prompts
from reidkit.baselines.vslaclip import TEMPLATE as SHARED

RECIPE = dataclasses.replace(RECIPES["tiny"], prompt_epochs=6, prompt_batch=8, prompt_lr=0.05, prompt_warmup_epochs=1)


@pytest.fixture
def text():
    return load_clip("tiny", "", height=128, width=64).text


@pytest.mark.parametrize(
    ("template", "before", "own", "after", "end"),
    [
        (TEMPLATE, None, 4, None, 11),  # start, "a photo of a", 4 vectors, "person", ".", end
        (SHARED, 8, 4, 8, 22),  # start, 8 + 4 + 8 vectors, ".", end
    ],
)
def test_learned_vectors_stand_where_the_template_has_letters(text, template, before, own, after, end):
    prompts = Prompts(text, template, num_classes=3)
    embeddings, ends = prompts(torch.tensor([2, 0]))
    assert embeddings.shape == (2, 77, 128)
    assert ends.tolist() == [end, end]
    assert (prompts.before is None) == (before is None)
    first = prompts.start.shape[1] + (before or 0)
    assert torch.equal(embeddings[0, first : first + own], prompts.identity[2])
    fixed = text.token_embedding(tokenize([template]))[0]
    learned = set(range(prompts.start.shape[1], first + own + (after or 0)))
    for place in range(77):
        assert torch.equal(embeddings[0, place], fixed[place]) == (place not in learned)


def test_stage_one_learns_and_leaves_the_text_tower_alone(text):
    text.requires_grad_(False)
    prompts = Prompts(text, TEMPLATE, num_classes=4)
    labels = torch.arange(4).repeat_interleave(4)
    images = torch.randn(4, 128)[labels] + 0.1 * torch.randn(16, 128)
    tower = {name: value.clone() for name, value in text.state_dict().items()}
    fixed = prompts.rest.clone()
    first = train_prompts(prompts, text, images, labels, dataclasses.replace(RECIPE, prompt_epochs=1))
    last = train_prompts(prompts, text, images, labels, RECIPE)
    assert last < 0.8 * first
    assert all(torch.equal(value, tower[name]) for name, value in text.state_dict().items())
    assert torch.equal(prompts.rest, fixed)
    assert not any(p.requires_grad for p in prompts.parameters())
    nearest = (images @ encode_prompts(prompts, text).T).argmax(1)
    assert (nearest == labels).float().mean() > 0.8


def test_the_same_seed_gives_the_same_prompts(text):
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        prompts = Prompts(text, TEMPLATE, num_classes=4)
        images = torch.randn(12, 128)
        train_prompts(prompts, text, images, torch.arange(12) % 4, dataclasses.replace(RECIPE, prompt_epochs=2))
        results.append(prompts.identity.detach())
    assert torch.equal(*results)


def test_the_rate_warms_up_and_falls_as_a_cosine():
    recipe = RECIPES["full"]
    warm = [prompt_rate(recipe, epoch) for epoch in range(4)]
    assert warm == pytest.approx([7.8e-5, 1.46e-4, 2.14e-4, 2.82e-4])  # from 1e-5 by a fifth of the way an epoch
    for epoch in (4, 61, 118):  # epochs count from 1, and the cosine as if there had been no warm-up
        expected = 1e-6 + (3.5e-4 - 1e-6) * (1 + math.cos(math.pi * (epoch + 1) / 120)) / 2
        assert prompt_rate(recipe, epoch) == pytest.approx(expected)
    assert prompt_rate(recipe, 119) == pytest.approx(1e-6)
