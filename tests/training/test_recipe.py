"""Recipes: ranges, overrides, and what is stored of them."""

import json
from dataclasses import dataclass

import pytest

from reidkit.baselines import ap3d, resnet50
from reidkit.datasets import UsageError
from reidkit.datasets.clips import CLIP_KEYS, ClipSpec
from reidkit.training.recipe import Recipe, agrees, from_dict, override, to_dict


@dataclass(frozen=True, kw_only=True)
class Mine(Recipe):
    epochs: int = 30
    tokens: int = 8


@pytest.mark.parametrize(
    "assignment",
    ["epochs=-3", "frames=0", "erase=7", "seed=-1", "height=10000000", "lr=nan", "gamma=-1", "identities=0", "pad=-1",
     "mean=2,2,2", "test_frames=0", "label_smoothing=1", "optimizer=sgd"],
)  # fmt: skip
@pytest.mark.parametrize("recipe", [Recipe(), Mine()])
def test_every_field_has_a_range(recipe, assignment):
    """However a recipe is made: `--set`, a stored file, or the class itself."""
    key, _, text = assignment.partition("=")
    with pytest.raises(UsageError, match=f"is no value for the recipe key '{key}', which takes "):
        override(recipe, [assignment])
    value = {"optimizer": text, "mean": [2, 2, 2]}.get(key) or float(text)
    value = int(value) if isinstance(value, float) and value == value and key != "label_smoothing" else value
    with pytest.raises(UsageError, match=f"recipe key '{key}'.* another version of reidkit"):
        from_dict(recipe, {key: value})
    with pytest.raises(UsageError, match=f"recipe key '{key}'"):
        recipe.changed(**{key: value})


def test_overrides_reach_the_clip():
    recipe = override(resnet50.RECIPES["tiny"], ["height=64", "frames=2", "epochs=3", "mean=0.5,0.5,0.5"])
    assert recipe.clip == ClipSpec(frames=2, height=64, width=64, mean=(0.5, 0.5, 0.5))
    assert recipe.test_clip == ClipSpec(frames=4, height=64, width=64, mean=(0.5, 0.5, 0.5))
    assert recipe.epochs == 3
    assert recipe.changed(clip=ClipSpec(frames=6), width=32).clip == ClipSpec(frames=6, width=32)


@pytest.mark.parametrize("key", ["heigth", "clip", "_"])
def test_an_unknown_key_is_named(key):
    with pytest.raises(UsageError, match=f"Unknown recipe key '{key}'. Known: .*height"):
        override(Recipe(), [f"{key}=3"])
    if key != "clip":
        with pytest.raises(UsageError, match=f"Unknown recipe key '{key}'"):
            Recipe().changed(**{key: 3})


def test_a_field_that_is_the_clips_is_refused():
    """Files written before the clip was one object said `frames: int = 4`; ignored, it would change figures."""

    @dataclass(frozen=True, kw_only=True)
    class Old(Recipe):
        frames: int = 4

    with pytest.raises(UsageError, match=r"Old declares 'frames', which is the clip's.*ClipSpec\(frames=…\)"):
        Old()


@pytest.mark.parametrize("recipe", [Recipe(), Mine(tokens=3), ap3d.RECIPES["full"], ap3d.RECIPES["tiny"]])
def test_the_stored_recipe_is_flat_and_comes_back(recipe):
    stored = json.loads(json.dumps(to_dict(recipe.changed(height=96, milestones=(3, 4), triplet_margin=None))))
    assert set(CLIP_KEYS) < set(stored)
    assert "clip" not in stored
    assert from_dict(type(recipe)(), stored) == recipe.changed(height=96, milestones=(3, 4), triplet_margin=None)


def test_a_stored_recipe_agrees_whatever_fields_were_added_since():
    stored = to_dict(Mine(lr=0.1))
    assert agrees(stored, Mine(lr=0.1))
    assert not agrees(stored, Mine(lr=0.2))
    del stored["tokens"]
    assert agrees(stored, Mine(lr=0.1))  # it was made before there were tokens, as by default
    assert not agrees(stored, Mine(lr=0.1, tokens=4))
    assert from_dict(Mine(tokens=4), stored) == Mine(lr=0.1)
    assert not agrees(stored | {"dropped": True}, Mine(lr=0.1))  # nobody knows what it did
    with pytest.raises(UsageError, match=r"Unknown recipe key 'dropped'.*another version"):
        from_dict(Mine(), stored | {"dropped": True})
