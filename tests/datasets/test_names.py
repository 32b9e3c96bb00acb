"""The rule for names: what it lets pass, and what it refuses with the reason."""

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.names import check_name, nearest


@pytest.mark.parametrize("name", ["sports-vreid", "a", "Über 2026", "cup.final_2", "x" * 100, "日本", "console", "com"])
def test_names_that_may_pass(name):
    assert check_name(name, "name of a dataset") == name


@pytest.mark.parametrize(
    "name",
    [
        "", " a", "a ", "/etc", "../../x", "a/b", "a\\b", ".hidden", "-rf", "a.", "a\nb", "a\x1b[31m", "\ud800",
        "x" * 101, "日" * 80, "complexity", "Complexity", "CON:", "a*", "con", "Aux.2026", "COM1",
    ],
)  # fmt: skip
def test_names_that_are_refused(name):
    with pytest.raises(UsageError, match=r"can't be the name of a dataset: (it|reidkit|Windows)") as refused:
        check_name(name, "name of a dataset")
    assert str(refused.value).isprintable()


def test_nearest_falls_back_to_the_first():
    assert nearest("marz", ["ls-vid", "mars"], 1) == ["mars"]
    assert nearest("zzzz", ["a", "b", "c", "d"]) == ["a", "b", "c"]
