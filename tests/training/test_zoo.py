"""Names of models: ours, variants, and a user's own file."""

import re
from pathlib import Path

import pytest

from reidkit.datasets import UsageError
from reidkit.training import zoo

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "your-model.md"


@pytest.mark.parametrize(
    ("name", "title", "parts"),
    [
        ("cgclip", "cgclip", ("cgclip", "")),
        ("cgclip/no-cmr", "cgclip/no-cmr", ("cgclip", "no-cmr")),
        ("my_model.py", "my_model", ("my_model.py", "")),
        ("a/b/my_model.py/wide", "my_model/wide", ("a/b/my_model.py", "wide")),
    ],
)
def test_names(name, title, parts):
    assert zoo.title(name) == title
    assert zoo.split_variant(name) == parts


@pytest.mark.parametrize("name", sorted(zoo.MODULES))
def test_every_model_keeps_the_contract(name):
    module = zoo.module(name)
    assert {"full", "tiny"} <= set(module.RECIPES)
    assert module.INFO.title
    assert callable(module.build)
    for variant, fields in getattr(module, "VARIANTS", {}).items():
        recipe = zoo.recipe(f"{name}/{variant}", "tiny")
        assert {key: getattr(recipe, key) for key in fields} == fields


def test_the_documents_example_is_a_model(tmp_path):
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
    path = tmp_path / "my_model.py"
    path.write_text(code)
    recipe = zoo.recipe(str(path), "tiny", ("epochs=3",))
    assert recipe.epochs == 3

    import torch

    model = zoo.module(str(path)).build(recipe, num_classes=5, num_cameras=2)
    output = model(torch.randn(2, 4, 3, 128, 64), torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long))
    assert output.logits["clip"].shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.py", None, "no model file"),
        ("broken.py", "import nothing_of_that_name", "line 1: ModuleNotFoundError"),
        ("empty.py", "", "no RECIPES and no build"),
        ("cgclip.py", "RECIPES = {}", "rename the file"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message):
        zoo.module(str(path))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("clip", "full", "Unknown model 'clip'"),
        ("cgclip", "huge", "Unknown size of cgclip 'huge'"),
        ("cgclip/k3", "full", "Unknown variant of cgclip 'k3'"),
    ],
)
def test_unknown_names(name, size, message):
    with pytest.raises(UsageError, match=message):
        zoo.recipe(name, size)
