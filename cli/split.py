"""Divide a dataset again: `reidkit split DIR --folds 5`."""

from pathlib import Path

import click

from .build import SPLITS
from .inspect import print_counts
from .options import JSON
from .terminal import print_json, tell


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--by", "--split", "by", type=click.Choice(SPLITS), help="What train and test divide.")
@click.option("--test-share", type=float, help="Share of the identities that test.")
@click.option("--folds", type=int, help="So many parts, each the test set once; `reidkit run` tests all.")
@click.option("--validation", type=float, help="Share of the training identities that validate.")
@click.option("--seed", type=int, help="Chooses among equally good divisions.")
@click.option("--keep", is_flag=True, help="Whoever tests goes on testing.")
@click.option("--test", "events", multiple=True, metavar="EVENT", help="An event that shall test; may be repeated.")
@JSON
def split(dataset: Path, by, test_share, folds, validation, seed, keep: bool, events: tuple[str, ...], as_json: bool):
    """Divide DATASET into train and test again, as its review stands; what isn't given stays as it was.

    Without --keep it is divided anew: people who tested may train then, and figures of before don't compare.
    """
    from ..toolkit.manifest import counts
    from ..toolkit.resplit import Wish, split_dataset

    found = split_dataset(dataset, Wish(by, test_share, folds, validation, seed, keep, events))
    manifest, counted = found.manifest, counts(found.table)
    if as_json:
        print_json({"path": str(dataset), "split": manifest["split"], "counts": counted, "moved_to_train": found.moved})
        return
    print_counts(manifest["name"], manifest["protocol"], counted)
    divided = manifest["split"]
    parts = f"{divided['folds']} folds" if divided["folds"] else f"test share {divided['test_share']:g}"
    tell(f"divided by {divided['by']}, {parts}, validation {divided['validation']:g}, seed {divided['seed']}")
    if found.moved:
        tell(f"{len(found.moved)} identities tested before and train now; --keep leaves them where they are.")
    for note in manifest["notes"]:
        tell(note)
