"""A page in the browser to correct who is who: `reidkit review DIR`."""

import getpass
import webbrowser
from pathlib import Path

import click


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="any free one", help="On 127.0.0.1.")
@click.option("--by", default="", help="Who decides, for the log. [default: the user's name]")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@click.option("--no-relink", is_flag=True, help="Only you decide: the machine doesn't link again after a decision.")
def review(dataset: Path, port: int, by: str, no_browser: bool, no_relink: bool) -> None:
    """A page in the browser to correct who is who.

    Every decision is on the disk, in DATASET/decisions.jsonl, before the page says so; stop it whenever you like.
    Nobody but you can open the page: its address holds a key. From another machine: ssh -L PORT:127.0.0.1:PORT.
    """
    from ..toolkit.review.server import serve
    from ..toolkit.review.session import open_session

    def ready(address: str) -> None:
        click.echo(f"The review is at {address} (Ctrl-C ends it).")  # flushed, for scripts that wait for it
        if not no_browser:
            webbrowser.open(address)

    with open_session(dataset) as session:
        serve(session, port=port, by=by or _user(), ready=ready, relink=not no_relink)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        return ""
