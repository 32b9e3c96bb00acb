"""Options that several commands share, and the reading of their values."""

from pathlib import Path
from typing import cast

import click

from ..datasets import UsageError
from ..datasets.errors import choices
from ..datasets.withheld import TOPICS, Topic

SIZE = click.option("--size", default="full", show_default=True, help="Recipe by size: full or tiny.")
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe key; repeatable.")
SPLIT = click.option("--split", type=int, help="One of a bench's ten, from 0. [default: the one trained on, or 0]")
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
DATA = click.option("--data", type=click.Path(path_type=Path), help="Benches' folder. [default: $REIDKIT_DATA or data]")
RESULTS = click.option("--results", type=click.Path(path_type=Path), default="results", show_default=True)
WORKERS = click.option("--workers", type=int, help="Decoding threads. [default: one a core, 8 at most]")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
WITHOUT = click.option(
    "--without",
    "withheld",
    default="",
    metavar="TOPICS",
    help=f"Leave out of captions what they say of {', '.join(TOPICS)}; several with commas, or all.",
)
BLUR_FACES = click.option("--blur-faces", is_flag=True, help="Cover the heads in all crops, for good.")
WEIGHTS = click.option(
    "--weights", required=True, type=click.Path(path_type=Path), help="A run's folder, or a .safetensors or .pth file."
)


def names_in(names: str, known: list[str]) -> list[str]:
    """Names with commas as a list without repetitions; `all` is all the known ones.

    Raises:
        UsageError: nothing is named.

    >>> names_in("tfclip, cgclip, tfclip", ["cgclip", "tfclip", "psta"])
    ['tfclip', 'cgclip']
    """
    listed = [n.strip() for n in names.split(",") if n.strip()]
    if listed == ["all"]:
        return known
    if not listed:
        raise UsageError(f"'{names}' names nothing. Known: {', '.join(known)}, or all.")
    return list(dict.fromkeys(listed))


def topics_in(names: str) -> tuple[Topic, ...]:
    """The topics that `--without` names; none where it names nothing.

    Raises:
        UsageError: an unknown one.

    >>> topics_in("hair, skin"), topics_in("")
    (('hair', 'skin'), ())
    """
    if not names:
        return ()
    listed = names_in(names, list(TOPICS))
    for name in listed:
        if name not in TOPICS:
            raise UsageError(choices(name, TOPICS, "topic"))
    return cast(tuple[Topic, ...], tuple(listed))
