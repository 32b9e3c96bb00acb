"""`reidkit check DIR`: whether a dataset is what its manifest says, and fit to train and test on.

    problems = check(Path("dancers"))           # a sentence each; empty where all is well
    problems = find_problems(Path("dancers"))   # with the check's name and the tracklets

Every file, crop and count is read again; nothing is mended. Public benches and folders laid out like them are checked,
too, as far as they say something: crops, sides, queries, balance.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ..datasets.text import printable
from .checks import division, files, twins, words
from .checks.material import Material, Problem, look, read_material

# Each yields what it finds; further ones are added here.
CHECKS: tuple[Callable[[Material], Iterator[Problem]], ...] = (
    files.checksums,
    files.sources,
    files.fingerprint,
    division.sides,
    division.returning,
    division.matches,
    files.manifest_counts,
    files.confidences,
    division.cameras,
    division.lengths,
    twins.near_duplicates,
    words.captions,
)


def find_problems(root: Path) -> list[Problem]:
    """Every way in which a dataset isn't what its manifest says, or isn't fit for use.

    Raises:
        UsageError: neither a dataset of ours nor a public one, or a manifest that can't be read.
    """
    material = read_material(root)
    look(material)
    for check_ in CHECKS:
        material.problems += list(check_(material))
    once: dict[str, Problem] = {}
    for problem in material.problems:
        once.setdefault(problem.text, replace(problem, text=printable(problem.text)))
    return list(once.values())


def check(root: Path) -> list[str]:
    """The sentences of `find_problems`."""
    return [problem.text for problem in find_problems(root)]
