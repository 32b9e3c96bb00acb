"""`reidkit weights`: every weights file that some command wants, and whether it is here. `reidkit weights get NAME`."""

import sys
from dataclasses import asdict

import click

from ..datasets.errors import MissingWeights
from ..training import weights as known
from .options import JSON
from .terminal import print_json


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def weights(context: click.Context, as_json: bool) -> None:
    """Weights that commands want: what they are, what needs them, and whether they are here.

    Nothing is fetched unasked: `reidkit weights get NAME…` fetches.
    """
    if context.invoked_subcommand is not None:
        return
    rows = [state_of(entry) for entry in known.table().values()]
    if as_json:
        print_json({"cache": str(known.cache_folder()), "weights": rows})
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        found = row["path"] or f"looked for in {' and '.join(row['looked_in'])}"
        print(f"{row['name']:<{width}}  {row['state']:<6}  {row['size']:<12}  {row['licence']:<12}  {row['what']}")
        for line in (f"needed by {row['needed_by']}", f"from {row['source']}", found):
            print(f"{'':<{width}}  {line}")
    print(
        "\n`reidkit weights get NAME…` fetches. Other detectors of Ultralytics are fetched by name, too (yolo26m.pt, "
        "yolov8s.pt …)."
    )


def state_of(entry: known.Weights) -> dict:
    """What is known of an entry, and its state on this machine.

    `state` is "ships", "here", "absent", or "other": a file of that name, of another length than the release.
    """
    path = known.find(entry)
    state = "absent" if path is None else "ships" if entry.owner == "package" else "here"
    if path and entry.size and path.name == entry.file and path.stat().st_size != entry.size:
        state = "other"
    folders = [place.parent for place in known.places(entry)] + [known.hub_folder()] * bool(entry.repository)
    return {
        **asdict(entry),
        "source": entry.link,
        "bytes": entry.size or entry.about or None,
        "size": known.size_text(entry, path),
        "state": state,
        "path": str(path) if path else None,
        "looked_in": [str(folder) for folder in folders],
        "get": "" if entry.owner == "package" else f"reidkit weights get {entry.name}",
    }


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@JSON
def get(names: tuple[str, ...], as_json: bool) -> None:
    """Fetch weights to where the commands look for them.

    What is here already is only checked. A transfer that broke off goes on; $REIDKIT_WEIGHTS_SOURCE names a mirror.
    """
    got = fetch(names)
    if as_json:
        print_json({"weights": [{"name": g.name, "path": str(g.path), "fetched": g.fetched} for g in got]})


def fetch(names: tuple[str, ...]) -> list:
    """Fetches them one after the other; one line on stderr for each.

    Raises:
        UsageError: an unknown name, before anything is fetched.
        ReidkitError: one can't be fetched; those before it are.
    """
    from ..datasets.progress import say
    from ..training.fetch import get as get_one

    entries = [known.wanted(name) for name in names]
    got = []
    for entry in entries:
        got.append(get_one(entry.name))
        say(f"{entry.name} ({entry.licence}) {'fetched' if got[-1].fetched else 'is here'}: {got[-1].path}")
    return got


def at_terminal() -> bool:
    """Whether somebody can be asked, and sees the question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def offer(error: MissingWeights) -> bool:
    """Whether somebody at the terminal, asked, had the missing weights fetched. In a script nobody is asked."""
    if not at_terminal():
        return False
    which = " and ".join(known.described(known.wanted(name)) for name in error.names)
    if not click.confirm(f"{which} {'is' if len(error.names) == 1 else 'are'} not here. Fetch now?", err=True):
        return False
    fetch(error.names)
    return True
