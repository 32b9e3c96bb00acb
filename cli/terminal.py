"""What commands print on stdout: tables for people, one JSON object for scripts."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_json(value: object) -> None:
    """One line of JSON. NaN and infinity are refused (ValueError): no reader of JSON takes them."""
    print(json.dumps(value, allow_nan=False, ensure_ascii=False))


def show(table: "RenderableType") -> None:
    """Prints a table; where stdout is no terminal, wide enough for every column."""
    from rich.console import Console

    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=200)).print(table)
