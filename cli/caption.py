"""`reidkit caption DIR --captioner template|attributes|endpoint|transformers`."""

import dataclasses
from pathlib import Path

import click

from .options import JSON, WITHOUT, topics_in
from .terminal import print_json

PRICE = click.FloatRange(0, 1e6)
CAPTIONERS = ("template", "attributes", "endpoint", "transformers")


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--captioner", type=click.Choice(CAPTIONERS), default="template", show_default=True)
@click.option("--split", type=click.Choice(["train", "test", "all"]), default="train", show_default=True)
@click.option("--per-identity", type=click.IntRange(1), default=4, show_default=True, help="Captions of one person.")
@click.option("--pictures", type=click.IntRange(1, 16), default=4, show_default=True, help="Crops shown of a tracklet.")
@click.option(
    "--one-sheet/--several", default=None, help="Crops as one picture, or one by one [default: by captioner]."
)
@click.option("--prompt", type=click.Path(path_type=Path), help="Text file [default: ours].")
@click.option("--attributes", type=click.Path(path_type=Path), help="template: table [default: DIR/attributes.csv].")
@click.option("--vocabulary", type=click.Path(path_type=Path), help="attributes: phrases [default: ours].")
@click.option(
    "--weights", default="openai", show_default=True, help="attributes: CLIP weights: tag, file, or simulated."
)
@click.option("--url", help="endpoint: http://HOST:PORT/v1. The key is read from $REIDKIT_API_KEY only.")
@click.option("--model", help="endpoint: as the server names it. transformers: name or folder.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=4, show_default=True, help="endpoint: at once.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=120.0,
    show_default=True,
    help="endpoint: seconds a try may take.",
)
@click.option("--price", type=(PRICE, PRICE), help="endpoint: dollars a million tokens in, and out; shows the cost.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="transformers: tracklets a batch.")
@click.option("--device", default="", help="transformers, attributes: cpu, cuda … [default: what is there].")
@click.option("--download", is_flag=True, help="transformers: fetch the model if it is not in the cache.")
@WITHOUT
@JSON
def caption(
    dataset: Path,
    captioner: str,
    price: tuple[float, float] | None,
    withheld: str,
    as_json: bool,
    **options: object,
) -> None:
    """Write captions for the people of a dataset, into its captions.jsonl.

    What is there already is kept: a run that was stopped is continued by the same command and asks nothing twice.
    With --without, phrases on these topics are taken out of the captions that are there, too, and of new ones. Exit
    code 3 where some tracklets got none.
    """
    from ..datasets import LossError, UsageError
    from ..datasets.own import read_dataset
    from ..toolkit.captioning.captioners import clip_tokens, make_captioner
    from ..toolkit.captioning.run import run

    topics = topics_in(withheld)
    data = read_dataset(dataset)
    chosen = make_captioner(
        captioner, dataset, **{k: options[k] for k in options if k not in ("split", "per_identity", "pictures")}
    )
    count_tokens = clip_tokens()
    summary = run(
        data,
        chosen,
        split=str(options["split"]),
        per_identity=int(options["per_identity"]),
        pictures=0 if captioner == "template" else int(options["pictures"]),
        count_tokens=count_tokens,
        topics=topics,
    )
    cost = None
    if price:
        cost = (summary.tokens_in * price[0] + summary.tokens_out * price[1]) / 1e6
    if as_json:
        print_json({**dataclasses.asdict(summary), "captioner": chosen.kind, "model": chosen.model, "cost": cost})
    else:
        click.echo(
            f"{summary.written} captions written, {summary.kept} were there, {summary.doubtful} doubtful, "
            f"{len(summary.failures)} without an answer; {summary.seconds:.1f} s, "
            f"{summary.tokens_in} tokens in, {summary.tokens_out} out" + (f", ${cost:.2f}" if cost is not None else "")
        )
        if topics:
            click.echo(f"{summary.withheld} phrases on {', '.join(topics)} taken out.")
    if summary.failures and not summary.written + summary.kept:
        raise UsageError(f"No tracklet got a caption; the first reason: {summary.failures[0][1]}.")
    if summary.failures:
        raise LossError(
            f"{len(summary.failures)} of {summary.wanted} tracklets have no caption; run again to ask for them."
        )
