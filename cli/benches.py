"""`reidkit benches`: the datasets, their terms, and which are here."""

import dataclasses
import json
from pathlib import Path

import click

from ..datasets.cards import Card, read_card
from .options import DATA, JSON


@click.command()
@click.argument("name", required=False)
@DATA
@JSON
def benches(name: str | None, data: Path | None, as_json: bool) -> None:
    """The datasets, their terms, and which are here. With NAME: its whole card."""
    from ..datasets import benches as known

    root = known.data_root() if data is None else data
    if name is not None:
        known.how_to_get(name)  # an unknown name is an error that lists the known
        name = known.VARIANTS[name][0] if name in known.VARIANTS else name
    names = list(known.BENCHES) if name is None else [name]
    found = {n: known.present(n, root) for n in names}
    here = {n: str(path) if path else None for n, path in found.items()}
    if as_json:
        cards = {n: {**dataclasses.asdict(read_card(n)), "path": here[n], "present": bool(here[n])} for n in names}
        click.echo(json.dumps({"data": str(root), "benches": cards}, indent=1, ensure_ascii=False))
    elif name is None:
        _table(names, here, root)
    else:
        _card(read_card(name), here[name], root)


def _table(names: list[str], here: dict[str, str | None], root: Path) -> None:
    click.echo(f"Benches under '{root}' ($REIDKIT_DATA):\n")
    for name in names:
        card = read_card(name)
        click.echo(f"  {name:<13} {'present' if here[name] else 'absent ':<8} {card.title}")
        click.echo(f"  {'':<13} {here[name] or card.get}")
        click.echo(f"  {'':<13} terms: {card.terms}\n")
    click.echo("`reidkit benches NAME` prints a card in full; a dataset of your own is a bench by its path.")


def _card(card: Card, path: str | None, root: Path) -> None:
    click.echo(f"{card.title} ({card.name}): {f'present at {path}' if path else f'absent under {root}'}\n")
    rows = {
        "what": card.what,
        "source": card.source,
        "terms": card.terms,
        "get": card.get,
        "protocols": ", ".join(card.protocols),
        "counts": ", ".join(f"{k} {v}" for k, v in card.counts.items()) or "as built",
        "layout": card.layout,
        "recipe": card.recipe,
        "cite": card.citation,
    }
    for key, value in rows.items():
        if value:
            lines = value.strip().splitlines()
            click.echo(f"{key:<10} " + ("\n" + " " * 11).join(lines))
