"""What the decisions make of a build's proposals.

    tracklets, frames = reviewed_tables(root)                          # the tables with all decisions applied
    tracklets, frames = replay(tracklets, frames, decisions)           # the same of tables at hand

The proposals (tracklets.parquet as it was built) and the log give the identities: the same two make the same tables,
row by row, whoever replays them and however often it was interrupted.

- merge: all identities of the tracklets become one, that of the lowest number.
- split: the tracklets leave their identity, together, for a new one. At a frame: the crops from there on become a
  tracklet `<id>~<frame>` of a new identity.
- junk: the tracklets are nobody's.
- identity: the tracklets get that number, and are a person's.

A new identity's number is the largest proposed one plus the number of the decision, so that undoing another decision
doesn't renumber it; the next free one where somebody was given that number by hand. Sides of the split stay as built;
queries are chosen again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from ...datasets.errors import UsageError
from ...datasets.own import frame_table, tracklet_table
from ...datasets.queries import queries
from ...datasets.text import printable
from ...datasets.tracklet import JUNK
from .decisions import Decision, in_force, read_decisions


@dataclass(frozen=True)
class _Piece:
    """A tracklet, or a part of one: the frames from `first` up to but not including `stop`."""

    id: str
    origin: str
    identity: int
    kind: str
    first: float = float("-inf")
    stop: float = float("inf")


@dataclass
class _State:
    """The tracklets by id, in the table's order, and each one's frames in the source."""

    pieces: dict[str, _Piece]
    frames: dict[str, list[int]]
    largest: int
    names: dict[int, str] = field(default_factory=dict)


def reviewed_tables(root: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """tracklets.parquet and frames.parquet of the dataset folder `root` with its decisions applied.

    Raises:
        UsageError: a table or the log can't be read, or a decision doesn't apply to this build.
    """
    return replay(tracklet_table(root), frame_table(root), read_decisions(root))


def replay(
    tracklets: pl.DataFrame, frames: pl.DataFrame, decisions: Sequence[Decision]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables after the decisions. Without decisions they are returned as they are.

    Raises:
        UsageError: a decision that doesn't apply; it is named.
    """
    if not in_force(decisions):
        return tracklets, frames
    state, faults = _follow(tracklets, frames, decisions)
    if faults:
        raise UsageError(f"{faults[0]} Undo it, or review the build that it was made on.")
    return _tables(tracklets, frames, state)


def broken(tracklets: pl.DataFrame, frames: pl.DataFrame, decisions: Sequence[Decision]) -> list[str]:
    """A sentence for each decision that no longer applies, as after another build; what hangs on it is told, too."""
    return _follow(tracklets, frames, decisions)[1]


def names_of(tracklets: pl.DataFrame, frames: pl.DataFrame, decisions: Sequence[Decision]) -> dict[int, str]:
    """Identity -> the name that was given to it last."""
    return _follow(tracklets, frames, decisions)[0].names


def _follow(tracklets: pl.DataFrame, frames: pl.DataFrame, decisions: Sequence[Decision]) -> tuple[_State, list[str]]:
    people = tracklets.filter(kind="person")["identity"]
    state = _State(
        {id_: _Piece(id_, id_, who, kind) for id_, who, kind in tracklets.select("id", "identity", "kind").iter_rows()},
        dict(frames.group_by("tracklet").agg("frame").iter_rows()),
        largest=max(people.max() or 0, 0) if len(people) else 0,
    )
    faults = []
    for decision in in_force(decisions):
        fault = _apply(state, decision)
        if fault:
            faults.append(f"Decision {decision.number} ({decision.do}) no longer applies: {printable(fault)}.")
    return state, faults


def _apply(state: _State, decision: Decision) -> str:
    """Applies one decision; the reason where it can't be, and then nothing is changed."""
    unknown = [id_ for id_ in decision.tracklets if id_ not in state.pieces]
    if unknown:
        return f"there is no tracklet '{unknown[0]}'"
    chosen = [state.pieces[id_] for id_ in decision.tracklets]
    new = state.largest + decision.number
    taken = {piece.identity for piece in state.pieces.values()} if decision.do in ("split", "merge") else ()
    while new in taken:
        new += 1
    if decision.do == "junk":
        _set(state, chosen, JUNK, "junk")
    elif decision.do == "identity":
        assert decision.identity is not None  # `Draft.fault`
        _set(state, chosen, decision.identity, "person")
        if decision.name:
            state.names[decision.identity] = decision.name
    elif decision.do == "merge":
        identities = {piece.identity for piece in chosen if piece.kind == "person"}
        one = min(identities, default=new)
        same = [p for p in state.pieces.values() if p.kind == "person" and p.identity in identities]
        _set(state, [*same, *chosen], one, "person")
    elif decision.frame is None:
        _set(state, chosen, new, "person")
    else:
        return _cut(state, chosen[0], decision.frame, new)
    return ""


def _set(state: _State, pieces: Sequence[_Piece], identity: int, kind: str) -> None:
    for piece in pieces:
        state.pieces[piece.id] = replace(piece, identity=identity, kind=kind)


def _cut(state: _State, piece: _Piece, frame: int, new: int) -> str:
    numbers = [n for n in state.frames.get(piece.origin, ()) if piece.first <= n < piece.stop]
    if not any(n < frame for n in numbers) or not any(n >= frame for n in numbers):
        return f"tracklet '{piece.id}' has no crops on both sides of frame {frame}"
    later = f"{piece.id}~{frame}"
    if later in state.pieces:
        return f"there is a tracklet '{later}' already"
    state.pieces[piece.id] = replace(piece, stop=frame)
    identity, kind = (new, "person") if piece.kind == "person" else (piece.identity, piece.kind)
    state.pieces[later] = _Piece(later, piece.origin, identity, kind, frame, piece.stop)
    return ""


def _tables(tracklets: pl.DataFrame, frames: pl.DataFrame, state: _State) -> tuple[pl.DataFrame, pl.DataFrame]:
    place = {id_: n for n, id_ in enumerate(tracklets["id"].to_list())}
    pieces = sorted(state.pieces.values(), key=lambda piece: (place[piece.origin], piece.first))
    columns = {"origin": pl.String, "piece": pl.String, "identity": pl.Int64, "kind": pl.String}
    rows = [(p.origin, p.id, p.identity, p.kind) for p in pieces]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    cut = [p for p in pieces if p.first != float("-inf") or p.stop != float("inf")]
    frames = _with_pieces(frames, cut)
    joined = table.join(
        tracklets.drop("identity", "kind"), left_on="origin", right_on="id", how="left", maintain_order="left"
    ).rename({"piece": "id"})
    if cut:
        inside = frames.filter(pl.col("tracklet").is_in([p.id for p in cut])).group_by("tracklet")
        facts = inside.agg(pl.len().cast(pl.Int64).alias("n"), first=pl.col("time").min(), last=pl.col("time").max())
        joined = joined.join(facts, left_on="id", right_on="tracklet", how="left", maintain_order="left")
        begins, ends = ([p.id for p in cut if p.first != float("-inf")], [p.id for p in cut if p.stop != float("inf")])
        joined = joined.with_columns(
            frames=pl.coalesce("n", "frames"),
            start=pl.when(pl.col("id").is_in(begins)).then("first").otherwise("start"),
            end=pl.when(pl.col("id").is_in(ends)).then("last").otherwise("end"),
        )
    return _with_roles(joined).select(tracklets.columns), frames


def _with_pieces(frames: pl.DataFrame, cut: Sequence[_Piece]) -> pl.DataFrame:
    """The crops of tracklets that were cut under the ids of their parts."""
    owner = pl.col("tracklet")
    name = owner
    for piece in cut:
        inside = (owner == piece.origin) & (pl.col("frame") >= piece.first) & (pl.col("frame") < piece.stop)
        name = pl.when(inside).then(pl.lit(piece.id)).otherwise(name)
    return frames.with_columns(tracklet=name) if cut else frames


def _with_roles(table: pl.DataFrame) -> pl.DataFrame:
    test = pl.col("split") == "test"
    chosen = queries(table.filter(test & (pl.col("kind") == "person")))
    role = pl.when(~test).then(pl.lit("train")).when(pl.col("id").is_in(chosen)).then(pl.lit("query"))
    return table.with_columns(role=role.otherwise(pl.lit("gallery")))
