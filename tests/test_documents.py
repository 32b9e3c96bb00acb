"""The commands that the README and the docs show exist as they are written, and examples in docstrings are true."""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import click
import pytest
from documents import commands

from reidkit.cli import main as cli

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
ALL = [(document.name, words) for document in DOCUMENTS for words in commands(document)]


def test_the_documents_show_commands():
    shown = {words[0] for _, words in ALL}
    assert {name for name, words in ALL} >= {"README.md", "building.md", "training.md"}
    assert set(cli.COMMANDS) - shown <= {"demo", "explain", "models", "doctor"}, "commands that no document shows"


@pytest.mark.parametrize(("document", "words"), ALL, ids=[f"{name}: {' '.join(words)}" for name, words in ALL])
def test_a_command_in_the_documents_is_one(document, words):
    command = cli.group.get_command(click.Context(cli.group), words[0])
    assert command is not None, f"{document} shows `reidkit {words[0]}`, which is no command"
    command.make_context(words[0], words[1:])  # raises on an unknown option, a missing one, or a value out of range


# A command, or a statement of Python: an import, a block's head, an assignment, a call that fills the line.
CODE = re.compile(
    rf"""(?:\$\ )?(?:reidkit\ (?:{"|".join(cli.COMMANDS)})\b|make\ \w+$|torchrun\ -|\S*python3?\ \S+\.py)(?:.*[^.])?$
    |(?:import|from\ \S+\ import)\ \S+
    |(?:with|for|if|def|class)\ .*:(?:\ *\.\.\.)?$
    |[\w.]+(?:,\ [\w.]+)*\ =\ \S
    |[\w.]+\(.*\)(?:\ *(?:\#|->).*)?$""",
    re.VERBOSE,
)
FILES = sorted(p for p in ROOT.rglob("*.py") if not {".venv", "build", "tests"} & set(p.relative_to(ROOT).parts))


def flush_code(docstring: str) -> list[str]:
    """The lines of code that stand at the margin of a docstring, where a reader takes them for a sentence."""
    return [line for line in docstring.splitlines() if CODE.match(line)]


def test_code_at_the_margin_is_found():
    code = """\
reidkit models
reidkit embed resnet50 --weights runs/mars/resnet50/seed0 demo/sports -o features.npz
.venv/bin/python benchmarks/simulator_stills.py --seed 4
from machine import describe
facts = summary(Path("dancers"))            # `reidkit inspect`
self.a, b = rename(state, prefixes)
follow(memory, videos, momentum=0.8)        # in place
with claim(out):
"""
    words = """\
`reidkit check DIR`: whether a dataset is whole.
reidkit check reads every file again.
from footage to a table, with the weights that
for all models hold: they (or most of them)
"""
    assert flush_code(code) == code.splitlines()
    assert not flush_code(words + "".join("    " + line for line in code.splitlines(keepends=True)))


def test_examples_of_a_module_are_indented():
    """`ruff format` takes the indent away from a docstring whose lines after the first are all indented: a sentence at
    the margin, before the example or after it, keeps it."""
    docstrings = {p: ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")), clean=False) or "" for p in FILES}
    found = [f"{p.relative_to(ROOT)}: {line}" for p, text in docstrings.items() for line in flush_code(text)]
    assert not found, "code at the margin; indent it by four spaces, and let a sentence stand before or after it"


def modules() -> list[str]:
    return sorted(
        info.name
        for info in pkgutil.walk_packages([str(ROOT)], "reidkit.")
        if not info.name.startswith(("reidkit.tests", "reidkit.benchmarks", "reidkit.__main__"))
    )


def test_examples_in_docstrings_are_true():
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(verbose=False)
    for name in modules():
        module = importlib.import_module(name)
        for test in finder.find(module, name):
            if test.examples:
                runner.run(test)
    assert runner.failures == 0, "see the output above"
    assert runner.tries >= 60, "the finder no longer finds them"
