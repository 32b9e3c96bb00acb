"""The caption run: which tracklets are asked about, answers checked and kept as they come, doubts marked at the end."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from ...datasets import ReidDataset, Tracklet
from ...datasets.captions import Caption, CaptionFile, open_captions
from ...datasets.own import reviewed_tables
from ...datasets.progress import progress
from ...datasets.withheld import Topic, without
from .captioner import Answer, Captioner, Request
from .check import check, contradictions, count_words
from .pictures import best_images


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        withheld: phrases about topics to leave out that were taken out of new captions and of those that were there.
        failures: (tracklet, reason).
        tokens_in, tokens_out: of the answers of this run.
    """

    wanted: int
    written: int
    kept: int
    doubtful: int
    withheld: int
    failures: tuple[tuple[str, str], ...]
    tokens_in: int
    tokens_out: int
    seconds: float


def choose_tracklets(tracklets: pl.DataFrame, split: str, per_identity: int) -> list[tuple[str, int]]:
    """(id, identity) of the tracklets to ask about, from the columns of tracklets.parquet.

    Of each identity the best tracklet of each camera, then the next best of each, up to `per_identity`.
    """
    people = tracklets.filter(pl.col("kind") == "person")
    if split != "all":
        people = people.filter(pl.col("split") == split)
    ranked = people.sort(["quality", "id"], descending=[True, False], nulls_last=True).with_columns(
        turn=pl.int_range(pl.len()).over("identity", "camera")
    )
    ranked = ranked.sort(["identity", "turn", "quality", "id"], descending=[False, False, True, False], nulls_last=True)
    chosen = ranked.with_columns(place=pl.int_range(pl.len()).over("identity")).filter(pl.col("place") < per_identity)
    return list(chosen.select("id", "identity").iter_rows())


def requests(dataset: ReidDataset, wanted: Sequence[str], count: int) -> Iterator[Request]:
    """The pictures of each wanted tracklet, made when they are asked for.

    Args:
        count: pictures a tracklet; 0 for a captioner that looks at none.
    """
    if not count:
        yield from (Request(id_, ()) for id_ in wanted)
        return
    tracklets: dict[str, Tracklet] = {t.id: t for t in (*dataset.train, *dataset.test)}
    frames = reviewed_tables(dataset.root)[1].sort("frame", maintain_order=True)  # as a tracklet's crops are
    rows = frames.partition_by("tracklet", as_dict=True)
    for id_ in wanted:
        yield Request(id_, tuple(best_images(tracklets[id_], rows[(id_,)], count)))


def run(
    dataset: ReidDataset,
    captioner: Captioner,
    *,
    split: str = "train",
    per_identity: int = 4,
    pictures: int = 4,
    count_tokens: Callable[[str], int] = count_words,
    topics: Iterable[Topic] = (),
) -> Summary:
    """Asks about every chosen tracklet that has no caption of this captioner, model and prompt yet.

    Each answer is durable before the next is waited for; a killed run asks nothing twice.

    Args:
        split: train, test or all.
        per_identity: captions of one person, at the most.
        pictures: crops shown of a tracklet; 0 for a captioner that looks at none.
        count_tokens: of a text, as CLIP counts them.
        topics: phrases about them are taken out, of captions of any captioner that are there already as well.

    Raises:
        UsageError: another run is at work on the dataset, or its captions.jsonl is damaged.
    """
    started = time.monotonic()
    wanted = choose_tracklets(reviewed_tables(dataset.root)[0], split, per_identity)
    identity_of = dict(wanted)
    made_by = (captioner.kind, captioner.model, captioner.prompt_sha256)

    def mine(caption: Caption) -> bool:
        return (caption.captioner, caption.model, caption.prompt_sha256) == made_by

    failures: list[tuple[str, str]] = []
    answers: list[Answer] = []
    topics, withheld = tuple(topics), 0

    def reworded(text: str) -> str:
        nonlocal withheld
        left = without(text, topics)
        withheld += len(left.removed)
        return left.text

    with open_captions(dataset.root) as file:
        if topics:
            file.reword(lambda caption: reworded(caption.text))
        done = {c.tracklet for c in file.read() if mine(c)}
        todo = [id_ for id_ in identity_of if id_ not in done]
        with progress(f"caption ({captioner.kind})", total=len(todo), unit="captions") as advance:

            def take(answer: Answer) -> None:
                told = reworded(answer.text)
                if answer.failure:
                    failures.append((answer.tracklet, answer.failure))
                elif not told and answer.text:
                    failures.append((answer.tracklet, f"its caption says nothing but {' and '.join(topics)}"))
                else:
                    text, doubts = check(told, count_tokens)
                    file.append(Caption(answer.tracklet, text, *made_by, doubts))
                    answers.append(answer)
                advance(1, f"{sum(a.tokens_in + a.tokens_out for a in answers)} tokens" if answers else "")

            captioner.ask(requests(dataset, todo, pictures), take)
        doubtful = doubt_contradictions(file, identity_of, mine)
    return Summary(
        wanted=len(wanted),
        written=len(answers),
        kept=len(wanted) - len(todo),
        doubtful=doubtful,
        withheld=withheld,
        failures=tuple(failures),
        tokens_in=sum(a.tokens_in for a in answers),
        tokens_out=sum(a.tokens_out for a in answers),
        seconds=time.monotonic() - started,
    )


def doubt_contradictions(file: CaptionFile, identity_of: dict[str, int], mine: Callable[[Caption], bool]) -> int:
    """Marks those of `mine` that contradict another of their identity; counts how many of `mine` are doubtful.

    Args:
        identity_of: tracklet id -> identity.
        mine: is a caption this captioner's? Only those are compared and marked.
    """
    of_identity = defaultdict(list)
    for caption in file.read():
        if mine(caption) and caption.tracklet in identity_of:
            of_identity[identity_of[caption.tracklet]].append((caption.tracklet, caption.text))
    found: dict[str, tuple[str, ...]] = {}
    for pairs in of_identity.values():
        found.update(contradictions(pairs))

    def doubts(caption: Caption) -> tuple[str, ...]:
        if not mine(caption):
            return caption.doubts
        others = (doubt for doubt in caption.doubts if not doubt.startswith("contradicts "))
        return (*others, *found.get(caption.tracklet, ()))

    return sum(bool(caption.doubts) for caption in file.doubt(doubts) if mine(caption))
