"""`reidkit forget DIR IDENTITY…`: people taken out of a dataset."""

import dataclasses
import sys
from pathlib import Path

import click

from ..datasets.errors import UsageError
from .options import JSON
from .terminal import print_json, tell


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("identities", nargs=-1, type=click.IntRange(0))
@click.option("--why", default="", help="A sentence for forgotten.jsonl; name nobody in it.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@JSON
def forget(dataset: Path, identities: tuple[int, ...], why: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take people out of a dataset, with all that shows them, for good.

    IDENTITIES are numbers as `reidkit inspect` lists them, after the review. Crops, rows, captions, decisions,
    embeddings and everything else in the folder goes; a build into it is refused from then on. Run again after a kill,
    it ends what it began. Exports, copies and trained models elsewhere stay as they are.
    """
    from ..toolkit.forget.forget import Forgotten, look
    from ..toolkit.forget.forget import forget as take_out
    from ..toolkit.forget.swap import pending

    def say(done: Forgotten, gone: str) -> None:
        nobody = f", {done.of_nobody} of them of nobody, on their boxes" if done.of_nobody else ""
        numbers = f"{done.tracklets} tracklets{nobody}, {done.crops} crops, {done.captions} captions"
        tell(f"{done.people} people {gone}: {numbers}.")
        if done.beside:
            tell(f"{done.beside} crops of others may show a part of them, and stay; look at these people's crops.")
        if done.unknown:
            few = ", ".join(done.unknown[:5]) + (" …" if len(done.unknown) > 5 else "")
            tell(f"Not looked into, as reidkit didn't write them: {few}.")

    if not pending(dataset) and identities:
        would = look(dataset, identities)
        if dry_run:
            if as_json:
                print_json({"path": str(dataset), "dry_run": True, **dataclasses.asdict(would)})
            else:
                say(would, "would go")
            return
        if not yes:
            say(would, "will go")
            if not sys.stdin.isatty():
                raise UsageError("Nobody is there to be asked. Say --yes, or --dry-run to look first.")
            click.confirm("For good?", abort=True)
    elif dry_run:
        raise UsageError("There is nothing to look at: name identities; what was stopped can only be ended.")
    done = take_out(dataset, identities, why, go_on=yes)
    if as_json:
        print_json({"path": str(dataset), "dry_run": False, **(dataclasses.asdict(done) if done else {"ended": True})})
        return
    if done is None:
        tell(f"'{dataset}': what was stopped is ended.")
        return
    say(done, "are gone")
    tell(f"Fingerprint: {done.fingerprint}")
