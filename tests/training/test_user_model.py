"""A user's own model file: executed once, known by its content, named where it is at fault."""

import hashlib
import json
import re
import sys

import pytest
import torch

from reidkit.baselines import resnet50
from reidkit.datasets import ReidkitError, UsageError
from reidkit.training import cell as cell_module
from reidkit.training import loop, user_model, zoo
from reidkit.training.cell import Cell, Places
from reidkit.training.experiment import run_cell, run_cells
from reidkit.training.parallel import Parallel
from reidkit.training.run_folder import read_facts
from reidkit.training.trained import open_model, open_run
from reidkit.training.user_model import load, source_of, user_faults

HERE = Parallel(torch.device("cpu"))
MODEL = """
from dataclasses import dataclass

import torch
from reidkit.datasets.clips import ClipSpec
from reidkit.training.model import TrainingOutput
from reidkit.training.recipe import Recipe
from torch import nn


@dataclass(frozen=True, kw_only=True)
class MyRecipe(Recipe):
    channels: int = 4


SPEC = ClipSpec(frames=2, height=16, width=8)
RECIPES = {"tiny": MyRecipe(clip=SPEC, test_frames=2, identities=3, tracklets=2, epochs=1, pad=1)}
VARIANTS = {"wide": {"channels": 8}}


class Mine(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.body = nn.Conv2d(3, channels, 3, stride=2)
        self.classifier = nn.Linear(channels, classes)

    def embed(self, clips, cameras):
        maps = self.body(clips.flatten(0, 1)).mean((2, 3))
        return maps.view(*clips.shape[:2], -1).mean(1)

    def forward(self, clips, cameras, labels):
        features = self.embed(clips, cameras)
        return TrainingOutput(logits={"clip": self.classifier(features)}, features={"clip": features})


def build(recipe, num_classes, num_cameras):
    assert isinstance(recipe, MyRecipe)
    return Mine(recipe.channels, num_classes)
"""


@pytest.fixture
def file(tmp_path):
    """Writes the model's file, with pieces of it replaced, and gives its path."""

    def write(*changes, name="my_model.py"):
        text = MODEL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def places(tmp_path, made_up, monkeypatch):
    """A bench `made-up`, and where its runs go."""
    dataset = made_up()
    monkeypatch.setattr(cell_module, "bench_splits", lambda name, root: 1)
    monkeypatch.setattr(cell_module, "load_bench", lambda name, root, split=0: dataset)
    return Places(tmp_path / "results", tmp_path / "runs")


@pytest.fixture
def epochs(monkeypatch):
    """Counts the epochs that are trained."""
    counted, real = [], loop._epoch
    monkeypatch.setattr(loop, "_epoch", lambda *a: counted.append(a[5]) or real(*a))
    return counted


def cell_of(path, variant="", **changes):
    name = f"{path}/{variant}" if variant else str(path)
    recipe = zoo.recipe(name, "tiny").changed(**changes)
    return Cell(zoo.module(name), zoo.title(name), "tiny", recipe, "made-up")


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_is_executed_once_and_its_own_recipe_reaches_its_build(file):
    path = file()
    module = zoo.module(str(path))
    assert zoo.module(str(path)) is module
    assert zoo.module(f"{path}/wide") is module
    assert zoo.module(str(path)).build(zoo.recipe(f"{path}/wide", "tiny"), 5, 2).body.out_channels == 8


def test_an_edit_within_the_same_second_is_seen(file, tmp_path):
    """Python's own cache of compiled files goes by the second and the size."""
    first = zoo.module(str(file()))
    second = zoo.module(str(file(("channels: int = 4", "channels: int = 6"))))
    assert (first.RECIPES["tiny"].channels, second.RECIPES["tiny"].channels) == (4, 6)
    assert source_of(first) != source_of(second)
    assert not list(tmp_path.rglob("__pycache__"))
    assert zoo.module(str(file())) is first


def test_files_of_one_name_in_two_folders_are_two_models(file, tmp_path):
    (tmp_path / "a").mkdir()
    first, second = file(), file(("int = 4", "int = 5"), name="a/my_model.py")
    assert zoo.recipe(str(first), "tiny").channels == 4
    assert zoo.recipe(str(second), "tiny").channels == 5
    assert zoo.recipe(str(first), "tiny").channels == 4
    same = file(name="a/my_model.py")
    marks = [source_of(zoo.module(str(path))) for path in (first, same, first)]
    assert len({mark.mark for mark in marks}) == 1
    assert [mark.file for mark in marks] == [first, same, first]


def test_what_the_file_imports_from_its_folder_belongs_to_its_source(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "reidkit_test_parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text("from .sizes import CHANNELS\n")
    (package / "sizes.py").write_text("CHANNELS = 4\n")
    importing = ("import torch\n", "import torch\nfrom reidkit_test_parts.layers import CHANNELS\n")
    changes = ("channels: int = 4", "channels: int = CHANNELS"), importing

    def mark():
        user_model._loaded.clear()
        for name in [name for name in sys.modules if name.startswith("reidkit_test_parts")]:
            monkeypatch.delitem(sys.modules, name)
        return source_of(load(file(*changes))).mark

    before = mark()
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\+[0-9a-f]{16}", before)
    (package / "other.py").write_text("")  # nobody imports it
    assert mark() == before
    (package / "sizes.py").write_text("CHANNELS = 44\n")
    assert mark() != before
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", source_of(load(file())).mark)  # torch and reidkit do not count


def test_ours_declare_a_version():
    assert source_of(resnet50).mark == "version 1"
    assert source_of(resnet50).file is None


# (what is replaced, by what, what is said); where a line is named it is the one marked HERE
FAULTS = {
    "syntax": ("class Mine(nn.Module):", "class Mine(nn.Module:  # HERE", "SyntaxError: "),
    "import": ("import torch\n", "import nothing_of_that_name  # HERE\n", "ModuleNotFoundError: No module named"),
    "exit": ("SPEC =", "raise SystemExit(0)  # HERE\nSPEC =", "it ends the program (sys.exit)"),
    "exit of the interpreter": ("SPEC =", "exit()  # HERE\nSPEC =", "it ends the program (sys.exit)"),
    "a recipe out of range": (
        "SPEC =", "MyRecipe(epochs=-1)  # HERE\nSPEC =",
        "'-1' is no value for the recipe key 'epochs'",
    ),
    "a field of the clip": ("channels: int = 4", "height: int = 4\n\nMyRecipe()  # HERE", "MyRecipe declares 'height'"),
    "a field that can't be stored": (
        "int = 4", "complex = 4j\n\nMyRecipe()  # HERE",
        "'channels' is declared as complex",
    ),
    "no recipes": ("RECIPES = {", "RECIPES = 3 or {", "RECIPES of '{path}' is no dict of recipes"),
    "dicts for recipes": ('"tiny": MyRecipe(', '"tiny": dict(', "RECIPES of '{path}' is no dict of recipes"),
    "variants": ('"wide": {"channels": 8}', '"wide": 8', "VARIANTS of '{path}' is no dict of dicts"),
    "build without cameras": ("num_classes, num_cameras):", "num_classes):", "build of '{path}' does not take"),
}  # fmt: skip


def expected(path, words):
    """What the sentence says: the words, and the marked line where there is one."""
    lines = [number for number, line in enumerate(path.read_text().splitlines(), 1) if "# HERE" in line]
    return [words.format(path=path), *(f"'{path}', line {number}" for number in lines)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_file_itself_names_the_file_and_line(file, fault):
    *change, words = FAULTS[fault]
    path = file(change)
    before = set(sys.modules)
    with pytest.raises(UsageError) as error:
        zoo.recipe(str(path), "tiny")
    assert all(part in one_line(error) for part in expected(path, words))
    assert not [name for name in set(sys.modules) - before if name.startswith("reidkit_user")]


EMBED, FORWARD = "    def embed(self, clips, cameras):\n", "    def forward(self, clips, cameras, labels):\n"
BUILD, INIT = "def build(recipe, num_classes, num_cameras):\n", "    def __init__(self, channels, classes):\n"
OUTPUT = 'return TrainingOutput(logits={"clip": self.classifier(features)}, features={"clip": features})'
FEATURES = "return maps.view(*clips.shape[:2], -1).mean(1)"
RUNTIME = {
    "build": (BUILD, BUILD + "    raise KeyError('x')  # HERE\n", ", in build: KeyError: 'x'"),
    "build exits": (BUILD, BUILD + "    raise SystemExit(0)  # HERE\n", ", in build: it ends the program (sys.exit)"),
    "constructor": (INIT, INIT + "        1 / 0  # HERE\n", ", in __init__: ZeroDivisionError: division by zero"),
    "build gives nothing": (
        "return Mine(recipe", "Mine(recipe",
        "build of '{path}' gave a NoneType; it gives an nn.Module",
    ),
    "no embed": (
        "def embed(", "def embedd(",
        "build of '{path}' gave a Mine; it gives an nn.Module with forward and embed",
    ),
    "forward": (FORWARD, FORWARD + "        clips @ clips.flatten()  # HERE\n", ", in forward: RuntimeError: "),
    "forward exits": (FORWARD, FORWARD + "        exit()  # HERE\n", ", in forward: it ends the program (sys.exit)"),
    "forward ends a file": (FORWARD, FORWARD + "        raise EOFError  # HERE\n", ", in forward: EOFError."),
    "a tensor": (OUTPUT, "return features", "forward of Mine gave a Tensor; it gives a TrainingOutput"),
    "other classes": (
        "channels, classes)\n\n", "channels, 2)\n\n",
        "logits['clip'] of Mine is [6, 2]; it is a tensor [6, 6]",
    ),
    "features of frames": ('{"clip": features}', '{"clip": features[:, None]}', "is [6, 1, 4]; it is a tensor [6, D]"),
    "a number": (
        'features={"clip": features}', 'losses={"own": 3.0}',
        "losses['own'] of Mine is float; it is a tensor []",
    ),
    "embed of maps": (FEATURES, f"{FEATURES} if self.training else maps[..., None]", "; it gives a tensor [24, D]"),
    "embed of a pair": (
        FEATURES, f"{FEATURES} if self.training else (maps, 1)",
        "embed of Mine gave a tuple for 24 clips",
    ),
    "a gradient": (
        OUTPUT,
        'return TrainingOutput(losses={"own": features.detach().sum()})',
        "Mine of '{path}': RuntimeError: element 0 of tensors does not require grad",
    ),
    "a state that is no tensor": (
        EMBED,
        "    def get_extra_state(self):\n        return {}\n\n" + EMBED,
        "Mine of '{path}': AttributeError: ",
    ),
    "rate": (
        EMBED, "    def lr_factor(self, name):\n        return 'fast'\n\n" + EMBED,
        "of Mine gave 'fast'; it gives a number",
    ),
    "prepare": (
        EMBED,
        "    def prepare(self, dataset, extract):\n        dataset.nothing  # HERE\n\n" + EMBED,
        ", in prepare: AttributeError: 'ReidDataset' object has no attribute",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", RUNTIME)
def test_a_fault_in_a_run_names_the_file_line_and_function(file, places, fault):
    *change, words = RUNTIME[fault]
    path = file(change)
    with pytest.raises(UsageError) as error:
        run_cell(cell_of(path), places, HERE)
    assert all(part in one_line(error) for part in expected(path, words))
    assert not list(places.results.rglob("*.json"))


def test_a_file_that_exits_fails_its_cell_and_the_others_go_on(file, places):
    bad, good = file((FORWARD, FORWARD + "        exit()\n"), name="bad.py"), file(name="good.py")
    done, failed = run_cells([cell_of(bad), cell_of(good)], places, HERE)
    assert [result.model for result in done] == ["good"]
    assert "in forward: it ends the program" in failed[0][1]


def test_errors_that_no_users_file_took_part_in_stay_what_they_are():
    for error in (KeyError("x"), SystemExit(3), KeyboardInterrupt(), ReidkitError("a sentence")):
        with pytest.raises(type(error)) as raised, user_faults():
            raise error
        assert raised.value is error


def test_an_edited_file_is_a_second_result_and_the_first_comes_back(file, places, epochs):
    first = run_cell(cell_of(file()), places, HERE)
    assert run_cell(cell_of(file()), places, HERE).source == first.source
    assert len(epochs) == 1
    edited = ("maps.view(*clips.shape[:2], -1).mean(1)", "maps.view(*clips.shape[:2], -1).amax(1)")
    second = run_cell(cell_of(file(edited)), places, HERE)
    assert len(epochs) == 2
    assert first.source != second.source
    assert len(list(places.results.rglob("*.json"))) == 2
    assert run_cell(cell_of(file()), places, HERE).source == first.source
    assert len(epochs) == 2
    assert sorted(p.name[:5] for p in (places.runs / "made-up" / "my_model").iterdir()) == ["seed0", "seed0"]


def test_a_stopped_run_does_not_go_on_under_other_code(file, places, monkeypatch):
    real = loop._epoch

    def interrupted(*arguments):
        if arguments[5] == 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell_of(file(), epochs=2), places, HERE)
    trained = []
    monkeypatch.setattr(loop, "_epoch", lambda *a: trained.append(a[5]) or real(*a))
    run_cell(cell_of(file(("stride=2", "stride=3")), epochs=2), places, HERE)
    assert trained == [0, 1]  # from the start
    run_cell(cell_of(file(), epochs=2), places, HERE)
    assert trained == [0, 1, 1]


def test_a_result_without_a_source_never_counts_for_a_users_file(file, places, epochs):
    run_cell(cell_of(file()), places, HERE)
    (path,) = places.results.rglob("*.json")
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "source"}))
    again = run_cell(cell_of(file()), places, HERE)
    assert again.source.startswith("sha256:")


@pytest.fixture
def trained(file, places):
    """A run of the model's variant: (its file, its folder)."""
    path = file()
    run_cell(cell_of(path, "wide"), places, HERE)
    return path, places.runs / "made-up" / "my_model" / "wide" / "seed0"


def test_a_run_is_opened_by_its_folder_by_its_file_and_by_its_title(trained, monkeypatch, capsys):
    path, folder = trained
    facts = read_facts(folder)
    assert (facts.model, facts.file) == ("my_model/wide", str(path))
    assert open_run(folder).model.body.out_channels == 8
    for name in (str(path), f"{path}/wide", "my_model", "my_model/wide"):
        opened = open_model(name, folder, None, (), None, "cpu")
        assert (opened.title, opened.size, opened.trained_on) == ("my_model/wide", "tiny", "made-up")
    monkeypatch.chdir(path.parent)
    assert open_model("my_model.py", folder, None, (), None, "cpu").title == "my_model/wide"
    assert capsys.readouterr().err == ""
    with pytest.raises(UsageError, match=r"is a run of my_model/wide\. Name that model"):
        open_model("resnet50", folder, None, (), None, "cpu")


def test_a_run_whose_file_was_edited_or_moved_is_not_opened_by_its_folder_alone(trained, capsys):
    path, folder = trained
    whole = path.read_text()
    path.write_text(whole.replace("stride=2", "stride=3") + "\nraise SystemExit('executed')\n")
    with pytest.raises(UsageError, match=r"was edited since .* was trained with it"):
        open_run(folder)
    path.write_text(whole + "# a word\n")
    opened = open_model(str(path), folder, None, (), None, "cpu")  # named on purpose: told, and opened
    assert opened.trained_on == "made-up"
    assert "is not what" in " ".join(capsys.readouterr().err.split())
    path.rename(path.with_name("elsewhere.txt"))
    with pytest.raises(UsageError, match="is not there any more"):
        open_run(folder)


@pytest.mark.parametrize("name", ["evil.py", "run/evil.py", "/run/evil.py"])
def test_a_run_of_a_stranger_does_not_execute_a_file_that_came_with_it(trained, tmp_path, name, monkeypatch):
    _, folder = trained
    monkeypatch.chdir(folder)
    evil = folder / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    facts = json.loads((folder / "run.json").read_text())
    named = str(evil) if name.startswith("/") else "evil.py"
    facts |= {"file": named, "source": f"sha256:{hashlib.sha256(evil.read_bytes()).hexdigest()}"}
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="never writes there"):
        open_run(folder)
    assert not (tmp_path / "executed").exists()


def test_a_run_of_a_file_that_it_does_not_name_says_so(trained):
    _, folder = trained
    facts = json.loads((folder / "run.json").read_text())
    del facts["file"], facts["source"]  # as before they were recorded
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="a run of 'my_model/wide', a model file that it doesn't name"):
        open_run(folder)


def test_a_model_file_with_a_name_that_makes_no_folder_is_refused(tmp_path):
    for name in (".hidden.py", "a:b.py"):
        (tmp_path / name).write_text(MODEL)
        with pytest.raises(UsageError, match="can't be the name of a model's file"):
            zoo.module(str(tmp_path / name))
