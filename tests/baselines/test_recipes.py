"""The recipes of all models: what `--set` may say."""

import dataclasses

import pytest

from reidkit.datasets import UsageError
from reidkit.training import zoo
from reidkit.training.recipe import to_dict


@pytest.mark.parametrize("name", zoo.MODULES)
@pytest.mark.parametrize("size", ["full", "tiny"])
def test_every_number_has_a_range(name, size):
    recipe = zoo.recipe(name, size)
    numbers = {key: value for key, value in to_dict(recipe).items() if type(value) in (int, float)}
    assert len(numbers) > 20
    for key, value in numbers.items():
        for wrong in (-(10**9), 10**12):
            with pytest.raises(UsageError, match=f"'{key}', which takes"):
                recipe.changed(**{key: type(value)(wrong)})


@pytest.mark.parametrize(
    ("name", "key", "nearest"),
    [
        ("cgclip", "tfe_heads", 4),
        ("cgclip", "cmr_heads", 4),
        ("tfclip", "ssp_heads", 4),
        ("tfclip", "tmd_heads", 4),
        ("vslaclip", "adapter_heads", 4),
    ],
)
def test_heads_that_do_not_divide_the_tokens(name, key, nearest):
    recipe = dataclasses.replace(zoo.recipe(name, "tiny", ("pretrained=",)), **{key: 5})
    with pytest.raises(UsageError, match=rf"{key}=5 .*Give --set {key}={nearest}\."):
        zoo.module(name).build(recipe, 3, 2)
