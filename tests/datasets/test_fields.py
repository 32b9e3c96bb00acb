"""Fields with ranges: what they take, what they refuse, and how it is said."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from reidkit.datasets import UsageError
from reidkit.datasets.clips import ClipSpec
from reidkit.datasets.fields import check_fields, describe, field_types, parse_field


@dataclass(frozen=True, kw_only=True)
class Grid:
    side: Annotated[int, Meta(ge=1, le=1000)] = 8
    scale: Annotated[float, Meta(gt=0, lt=2)] | None = 1.0
    steps: tuple[Annotated[int, Meta(ge=0)], ...] = (1, 2)
    kind: Literal["flat", "round"] = "flat"
    name: str = ""
    wrap: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "grid key")


@dataclass(frozen=True, kw_only=True)
class Wide(Grid):
    side: int = 20  # another default, the same range
    scale: Annotated[float, Meta(ge=0)] | None = 5.0  # a range of its own


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("side", 0, "'0' is no value for the grid key 'side', which takes a whole number from 1 to 1,000."),
        ("side", 1001, "a whole number from 1 to 1,000"),
        ("side", 2.5, "'2.5' is no value"),
        ("side", True, "'True' is no value"),
        ("side", "3", "'3' is no value"),
        ("scale", 0, "none or a number above 0 and below 2"),
        ("scale", float("nan"), "'nan' is no value"),
        ("steps", (1, -1), "'1,-1' is no value for the grid key 'steps', which takes values with commas, each a whole"),
        ("steps", 3, "'3' is no value"),
        ("kind", "square", "which takes one of flat, round."),
        ("name", 3, "which takes a text."),
        ("name", None, "which takes a text."),
        ("wrap", 1, "which takes true or false."),
    ],
)
def test_a_value_outside_its_range_is_one_sentence(name, value, words):
    with pytest.raises(UsageError) as error:
        Grid(**{name: value})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_infinity_is_in_no_range():
    with pytest.raises(UsageError, match="'inf' is no value"):
        Wide(scale=float("inf"))


def test_values_are_brought_to_the_declared_type():
    grid = Grid(scale=1, steps=[3, 4])
    assert (grid, type(grid.scale), type(grid.steps)) == (Grid(scale=1.0, steps=(3, 4)), float, tuple)
    assert Grid(scale=None).scale is None


def test_a_subclass_keeps_the_range_unless_it_declares_one():
    assert Wide().side == 20
    with pytest.raises(UsageError, match="from 1 to 1,000"):
        Wide(side=0)
    assert Wide(scale=100.0).scale == 100.0
    assert list(field_types(Wide)) == ["side", "scale", "steps", "kind", "name", "wrap"]


def test_a_type_that_cannot_be_checked_is_refused():
    @dataclass(frozen=True)
    class Odd:
        place: complex = 1j

        def __post_init__(self) -> None:
            check_fields(self, "grid key")

    with pytest.raises(UsageError, match=r"'place' is declared as complex\. Declare it as int,"):
        Odd()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("side", "12", 12),
        ("scale", "1e-3", 0.001),
        ("scale", "None", None),
        ("steps", "(3, 4)", (3, 4)),
        ("steps", "5", (5,)),
        ("steps", "", ()),
        ("kind", "round", "round"),
        ("name", "12", "12"),
        ("wrap", "True", True),
        ("wrap", "0", False),
    ],
)
def test_text_of_the_command_line(name, text, value):
    assert parse_field(name, text, field_types(Grid)[name], "grid key") == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("side", "x"),
        ("side", "1001"),
        ("side", "none"),
        ("scale", "inf"),
        ("steps", "1,x"),
        ("kind", "none"),
        ("wrap", "2"),
    ],
)
def test_text_that_stands_for_no_value(name, text):
    with pytest.raises(UsageError, match=f"'{text}' is no value for the grid key '{name}'"):
        parse_field(name, text, field_types(Grid)[name], "grid key")


def test_ranges_in_words():
    assert describe(Annotated[int, Meta(ge=0)]) == "a whole number from 0"
    assert describe(Annotated[float, Meta(gt=0, le=1)]) == "a number above 0 and up to 1"
    assert describe(tuple[float, float, float]) == "3 values with commas, each a number"


@pytest.mark.parametrize("values", [{"frames": 0}, {"height": 10**7}, {"mean": (1, 2)}, {"std": (0.2, 0.0, 0.2)}])
def test_a_clip_has_ranges(values):
    with pytest.raises(UsageError, match=f"recipe key '{next(iter(values))}'"):
        ClipSpec(**values)
