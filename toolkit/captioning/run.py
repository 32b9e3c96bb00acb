"""The caption run: which tracklets are asked about, answers checked and kept as they come, doubts marked at the end."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from ...datasets import ReidDataset, Tracklet
from ...datasets.files import write_atomic
from ...datasets.format import CAPTIONS, FRAMES, TRACKLETS
from ...datasets.progress import progress
from .captioner import Answer, Captioner, Request
from .check import check, contradictions
from .frames import best_images
from .store import Caption, append, encode, open_captions, read_captions


@dataclass(frozen=True)
class Summary:
    """What a run did. `failures` are (tracklet, reason); tokens are those of the answers of this run."""

    wanted: int
    written: int
    kept: int
    doubtful: int
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
    ranked = people.sort(["quality", "id"], descending=[True, False]).with_columns(
        turn=pl.int_range(pl.len()).over("identity", "camera")
    )
    ranked = ranked.sort(["identity", "turn", "quality", "id"], descending=[False, False, True, False])
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
    rows = pl.read_parquet(dataset.root / FRAMES).partition_by("tracklet", as_dict=True)
    for id_ in wanted:
        yield Request(id_, tuple(best_images(tracklets[id_], rows[(id_,)], count)))


def run(
    dataset: ReidDataset,
    captioner: Captioner,
    *,
    split: str = "train",
    per_identity: int = 4,
    pictures: int = 4,
    count_tokens: Callable[[str], int] | None = None,
) -> Summary:
    """Asks about every chosen tracklet that has no caption of this captioner, model and prompt yet.

    Each answer is durable before the next is waited for; a killed run asks nothing twice.
    """
    started = time.monotonic()
    wanted = choose_tracklets(pl.read_parquet(dataset.root / TRACKLETS), split, per_identity)
    identity_of = dict(wanted)

    def mine(caption: Caption) -> bool:
        made_by = (caption.captioner, caption.model, caption.prompt_sha256)
        return made_by == (captioner.kind, captioner.model, captioner.prompt_sha256)

    done = {c.tracklet for c in read_captions(dataset.root) if mine(c)}
    todo = [id_ for id_ in identity_of if id_ not in done]
    failures: list[tuple[str, str]] = []
    answers: list[Answer] = []
    with (
        open_captions(dataset.root) as file,
        progress(f"caption ({captioner.kind})", total=len(todo), unit="captions") as advance,
    ):
        for answer in captioner.answers(requests(dataset, todo, pictures), len(todo)):
            if answer.failure:
                failures.append((answer.tracklet, answer.failure))
            else:
                text, doubts = check(answer.text, count_tokens) if count_tokens else check(answer.text)
                made_by = (captioner.kind, captioner.model, captioner.prompt_sha256)
                append(file, Caption(answer.tracklet, text, *made_by, doubts))
                answers.append(answer)
            advance(1, f"{sum(a.tokens_in + a.tokens_out for a in answers)} tokens" if answers else "")
    doubtful = mark_contradictions(dataset.root, identity_of, mine)
    return Summary(
        wanted=len(wanted),
        written=len(answers),
        kept=len(wanted) - len(todo),
        doubtful=doubtful,
        failures=tuple(failures),
        tokens_in=sum(a.tokens_in for a in answers),
        tokens_out=sum(a.tokens_out for a in answers),
        seconds=time.monotonic() - started,
    )


def mark_contradictions(root: Path, identity_of: dict[str, int], mine: Callable[[Caption], bool]) -> int:
    """Rewrites captions.jsonl with a doubt on captions that contradict another of their identity; counts doubtful."""
    captions = read_captions(root)
    of_identity = defaultdict(list)
    for caption in captions:
        if mine(caption) and caption.tracklet in identity_of:
            of_identity[identity_of[caption.tracklet]].append((caption.tracklet, caption.text))
    found: dict[str, tuple[str, ...]] = {}
    for pairs in of_identity.values():
        found.update(contradictions(pairs))
    marked = [replace(c, doubts=_with(c, found.get(c.tracklet, ()))) if mine(c) else c for c in captions]
    if marked != captions:
        write_atomic(root / CAPTIONS, b"".join(encode(c) for c in marked))
    return sum(bool(c.doubts) for c in marked if mine(c))


def _with(caption: Caption, contradicting: tuple[str, ...]) -> tuple[str, ...]:
    return (*(d for d in caption.doubts if not d.startswith("contradicts ")), *contradicting)
