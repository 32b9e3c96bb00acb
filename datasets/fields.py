"""Fields of frozen dataclasses with declared ranges, checked when an object is made.

    @dataclass(frozen=True)
    class Grid:
        side: Annotated[int, Meta(ge=1, le=100)] = 8

        def __post_init__(self) -> None:
            check_fields(self, "grid key")

    Grid(side=0)        # UsageError: '0' is no value for the grid key 'side', which takes a whole number from 1 to 100.

A subclass that gives a field another default keeps the field's range, unless it declares a range of its own.
"""

import dataclasses
import functools
import inspect
import math
import types
import typing
from typing import Annotated, Literal

import msgspec

from .errors import UsageError
from .text import printable

NOUNS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
UNIONS = (types.UnionType, typing.Union)


@functools.cache
def field_types(kind: type) -> dict[str, object]:
    """Name -> type of each field of a dataclass, with its range."""
    found: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        hints = typing.get_type_hints(base, include_extras=True)
        for name in inspect.get_annotations(base):
            if name not in found or _ranged(hints[name]):
                found[name] = hints[name]
    return {field.name: found[field.name] for field in dataclasses.fields(kind)}


def check_fields(value: object, what: str) -> None:
    """Checks every field of a dataclass' object against its type and range, and brings it to that type.

    So a whole number for a float becomes a float, and a list for a tuple a tuple. For `__post_init__`.

    Args:
        what: what a field is called in the sentence: "recipe key".

    Raises:
        UsageError: a value of another type or outside the range; the sentence says what is allowed.
    """
    for name, hint in field_types(type(value)).items():
        object.__setattr__(value, name, _fitted(name, getattr(value, name), hint, what))


def parse_field(name: str, text: str, hint: object, what: str) -> object:
    """The value that `text` of the command line stands for: `none`, or numbers with commas for a tuple.

    Raises:
        UsageError: it stands for none that the field takes.

    >>> parse_field("milestones", "40, 70", tuple[int, ...], "recipe key")
    (40, 70)
    """
    if text.strip().lower() == "none" and type(None) in typing.get_args(_bare(hint)):
        return None
    plain = _bare(_some(hint))
    given: object = text.strip()
    if typing.get_origin(plain) is tuple:
        given = tuple(part.strip() for part in text.strip().strip("()").split(",") if part.strip())
    try:
        value = msgspec.convert(given, hint, strict=False)
    except (msgspec.MsgspecError, TypeError):
        raise _refused(name, text, hint, what) from None
    return _fitted(name, value, hint, what)


def describe(hint: object) -> str:
    """What a field takes, in words: "a whole number from 1 to 100", "one of adam, adamw".

    >>> describe(Literal["adam", "adamw"]), describe(int | None)
    ('one of adam, adamw', 'none or a whole number')
    """
    inner, plain = _some(hint), _bare(_some(hint))
    optional = "none or " if type(None) in typing.get_args(_bare(hint)) else ""
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin is Literal:
        return optional + ("one of " if len(arguments) > 1 else "") + ", ".join(map(str, arguments))
    if origin is tuple:
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        count = _count(inner) if many else f"{len(arguments)} values"
        return f"{optional}{count} with commas, each {describe(arguments[0])}"
    noun = NOUNS.get(plain) or getattr(plain, "__name__", str(plain))
    return f"{optional}{noun}{_range(inner)}"


def _fitted(name: str, value: object, hint: object, what: str) -> object:
    plain = _bare(hint)
    if dataclasses.is_dataclass(plain) and isinstance(value, typing.cast(type, plain)):
        return value  # it checked itself
    if not _can_be_checked(hint):
        raise UsageError(
            f"The {what} '{name}' is declared as {getattr(plain, '__name__', plain)}. Declare it as int, float, str, "
            "bool, Literal, a tuple of these, or None beside one of them."
        )
    try:
        fitted = msgspec.convert(value, hint)
    except msgspec.ValidationError:
        raise _refused(name, value, hint, what) from None
    if any(isinstance(v, float) and not math.isfinite(v) for v in (fitted if isinstance(fitted, tuple) else [fitted])):
        raise _refused(name, value, hint, what)
    return fitted


def _can_be_checked(hint: object) -> bool:
    plain = _bare(hint)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin is tuple or origin in UNIONS:
        return all(_can_be_checked(part) for part in arguments if part not in (Ellipsis, type(None)))
    return plain in NOUNS or origin is Literal


def _refused(name: str, value: object, hint: object, what: str) -> UsageError:
    if isinstance(value, tuple | list):
        value = ",".join(map(str, value))
    shown = printable(str(value))[:80]
    return UsageError(f"'{shown}' is no value for the {what} '{name}', which takes {describe(hint)}.")


def _bare(hint: object) -> object:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _some(hint: object) -> object:
    """A hint without its None: `Annotated[float, …] | None` -> `Annotated[float, …]`."""
    plain = _bare(hint)
    if typing.get_origin(plain) in UNIONS:
        return next(part for part in typing.get_args(plain) if part is not type(None))
    return hint


def _metas(hint: object) -> list[msgspec.Meta]:
    extras = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return [extra for extra in extras if isinstance(extra, msgspec.Meta)]


def _ranged(hint: object) -> bool:
    inner = _some(hint)
    return bool(_metas(inner)) or any(_ranged(part) for part in typing.get_args(_bare(inner)) if part is not Ellipsis)


def _range(hint: object) -> str:
    keys = ("ge", "gt", "le", "lt")
    bounds = {key: bound for meta in _metas(hint) for key in keys if (bound := getattr(meta, key)) is not None}
    closed = "ge" in bounds and "le" in bounds
    words = {"ge": "from", "gt": "above", "le": "to" if closed else "up to", "lt": "below"}
    parts = [f"{words[key]} {_number(bounds[key])}" for key in keys if key in bounds]
    return f" {(' ' if closed else ' and ').join(parts)}" if parts else ""


def _count(hint: object) -> str:
    longest = next((m.max_length for m in _metas(hint) if m.max_length is not None), None)
    return "values" if longest is None else f"up to {longest} values"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
