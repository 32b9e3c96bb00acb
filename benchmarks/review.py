"""How many decisions make a build right: a scripted reviewer who knows the truth drives the HTTP of `reidkit review`.

    python benchmarks/review.py                                 # builds and reviews the sets below: half an hour
    python benchmarks/review.py --datasets DIR…                 # sets at hand; the table is printed, and not written
    python benchmarks/review.py --only kills --kills 50         # a server is killed while it decides
    python benchmarks/review.py --only large --tracklets 5000   # milliseconds with so many tracklets

Two reviewers with the same abilities work on copies of a set. One answers the questions in the order in which the
server asks them, and the machine links again after each answer. The other takes the proposals in order of time, then
the tracklets that are nobody's, and nothing is linked again.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from command import reidkit
from machine import describe
from reviewing import Reviewer, Server, Truth, by_questions, by_time, served

from reidkit.datasets.decisions import read_decisions
from reidkit.datasets.files import write_json
from reidkit.datasets.format import MANIFEST
from reidkit.datasets.own import frame_table, reviewed_tables, tracklet_table
from reidkit.datasets.replay import follow
from reidkit.toolkit.embed import load_embedder, normalise
from reidkit.toolkit.review.embeddings import cache_of
from reidkit.toolkit.review.material import read_material

RESULTS = Path(__file__).resolve().parent / "results" / "review.md"
SEEDS, PEOPLE, CAMERAS, EVENTS = (911, 912, 913), 8, 3, 2
GOOD = 0.99  # B-cubed F1
TOO_MANY = 600  # decisions; by then something is wrong
WAY = {"questions": (by_questions, True), "time": (by_time, False)}
TEXT = """# Reviewing a build

`python benchmarks/review.py`: a scripted reviewer who knows the truth drives the HTTP of `reidkit review` on simulated
footage ({people} people, {cameras} cameras, {events} events of 12 s; the seeds were used for nothing else).
Two reviewers have the same abilities: each sees whom every tracklet shows, remembers the identities seen so far, and
makes one decision about what he looks at. One answers the questions in the order asked, and the machine links again
after each answer. The other takes the proposals in order of time, then the tracklets that are nobody's, and nothing is
linked again. A decision is a line that the reviewer has written: confirmations and answers "no" count.

F1 is B-cubed F1 over the tracklets that show somebody, in percent, junk as people of their own. It is perfect when
every person's tracklets are one identity that holds nobody else, and false boxes are junk; of two tracklets of a person
at one moment in one camera one is a second box, and junk.

| set | tracklets | wrong | F1 | to F1 99: ours | by time | to perfection: ours | by time | made by the machine |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
{rows}

## Kills

{kills}

## Speed

{large}

Machine of the last run: {machine}.
"""


def review(root: Path, truth: Truth, choose: Callable[[Reviewer, dict, dict], dict | None], *, relink: bool) -> dict:
    """Reviews a copy of a set to the end."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / root.name
        shutil.copytree(root, copy)
        (copy / "decisions.jsonl").unlink(missing_ok=True)
        with served(copy, relink=relink) as server:
            reviewer = Reviewer(server, truth)
            curve: list[tuple[float, int]] = []
            kinds: Counter[str] = Counter()
            while True:
                state = server.state()
                labels = server.labels(state)
                curve.append((truth.f1(labels), truth.wrong(labels)))
                draft = choose(reviewer, state, labels) if curve[-1][1] else None
                if draft is None or len(curve) > TOO_MANY:
                    break
                reply = server.decide(state["revision"], draft)
                if "conflict" in reply.json():  # both are shown: the one that is wrong there leaves first
                    draft = reviewer.settle(reply.json()["conflict"]["tracklets"], draft["tracklets"], labels)
                    reply = server.decide(state["revision"], draft)
                if reply.status_code != 200:
                    raise SystemExit(f"{root.name}: {draft} was answered by {reply.text}")
                kinds[draft["do"]] += 1
            machine = sum(d.by == "machine" for d in read_decisions(copy))
    return {
        "tracklets": len(labels),
        "wrong": curve[0][1],
        "f1": round(100 * curve[0][0], 1),
        "to_f1": next((n for n, (f1, _) in enumerate(curve) if f1 >= GOOD), None),
        "to_perfection": next((n for n, (_, wrong) in enumerate(curve) if not wrong), None),
        "machine": machine,
        "kinds": dict(kinds),
        "left_wrong": curve[-1][1],
    }


def simulated(work: Path, kind: str, seed: int) -> Path:
    """A built set, made once."""
    raw, out = work / f"{kind}-seed-{seed}", work / f"{kind}-seed-{seed}-dataset"
    if not (out / MANIFEST).exists():
        counts = ["--people", str(PEOPLE), "--cameras", str(CAMERAS), "--events", str(EVENTS)]
        reidkit("simulate", str(raw), "--kind", kind, "--seed", str(seed), *counts)
        reidkit("build-dataset", str(raw), "-o", str(out), "--detector", "simulated", "--embedder", "simulated")
    return out


def kill_rounds(root: Path, kills: int, seed: int = 0) -> tuple[int, int]:
    """Kills a server of a copy of the set in the middle of decisions, again and again.

    Returns the number of decisions that were acknowledged, and of lines in the log at the end: one that was written but
    not acknowledged any more counts, too.

    Raises:
        AssertionError: one that was acknowledged isn't in the log, the server that takes it up shows another state than
            a replay, or two replays don't give the same bytes.
    """
    chance = random.Random(seed)
    acknowledged: dict[int, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "set"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".work", "decisions.jsonl"))
        for _ in range(kills):
            server = Server(copy, relink=False)
            _check(server, copy, acknowledged)
            ids = sorted(server.labels(server.state()))
            killer = threading.Timer(chance.uniform(0.0, 0.5), server.process.kill)
            killer.start()
            _decide_until_killed(server, ids, chance, acknowledged)
            killer.join()
            server.kill()
        with served(copy, relink=False) as server:
            _check(server, copy, acknowledged)
        for name in ("one", "two"):
            for table, kind in zip(reviewed_tables(copy), ("tracklets", "frames"), strict=True):
                table.write_parquet(Path(folder) / f"{name}-{kind}")
        for kind in ("tracklets", "frames"):
            assert (Path(folder) / f"one-{kind}").read_bytes() == (Path(folder) / f"two-{kind}").read_bytes()
        return len(acknowledged), len(read_decisions(copy))


def _decide_until_killed(server: Server, ids: list[str], chance: random.Random, acknowledged: dict[int, dict]) -> None:
    try:
        revision = server.http.get("/api/state").json()["revision"]
        while True:
            some = chance.sample(ids, chance.choice((1, 1, 2)))
            draft: dict = {"do": chance.choice(("junk", "split", "distractor")), "tracklets": some}
            if chance.random() < 0.3:
                draft = {"do": "caption", "tracklets": some[:1], "text": "x" * chance.randrange(1, 5000)}
            if chance.random() < 0.2:
                reply, draft = server.http.post("/api/undo", json={}), {"do": "undo"}
            else:
                reply = server.decide(revision, draft)
            if reply.status_code == 200:
                revision = reply.json()["revision"]
                acknowledged[revision] = draft
    except httpx.TransportError:
        return


def _check(server: Server, root: Path, acknowledged: dict[int, dict]) -> None:
    lines = read_decisions(root)
    for number, draft in acknowledged.items():
        assert number <= len(lines), f"decision {number} was acknowledged and is lost"
        line = lines[number - 1]
        assert line.do == draft["do"]
        assert list(line.tracklets) == draft.get("tracklets", [])
        assert line.text == draft.get("text", "")
    state = server.state()
    assert state["revision"] == len(lines)
    replayed, faults = follow(tracklet_table(root), frame_table(root), lines)
    assert not faults
    shown = {id_: piece.identity if piece.kind == "person" else -1 for id_, piece in replayed.pieces.items()}
    assert server.labels(state) == shown


def large(tracklets: int, rounds: int = 60) -> dict[str, tuple[float, float]]:
    """Median and slowest milliseconds of each step of a review of so many made-up tracklets."""
    from review_page import PEOPLE as MANY
    from review_page import write_made_up

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        root.mkdir()
        write_made_up(root, tracklets)
        digest = load_embedder("simulated").sha256
        content = json.loads((root / MANIFEST).read_text())
        write_json(root / MANIFEST, content | {"settings": {"embedder": {"name": "simulated", "sha256": digest}}})
        material = read_material(root)
        rng = np.random.default_rng(0)
        people = rng.normal(size=(MANY, 256))
        firsts = np.array([origin.row for origin in material.origins.values()])
        who = np.arange(len(firsts)) % MANY
        features = normalise(people[who] + 0.7 * rng.normal(size=(len(who), 256)))
        cache = cache_of(material, digest)
        cache.parent.mkdir()
        np.savez(cache, row=firsts, features=features, quality=np.ones(len(who), np.float32))
        times: dict[str, list[float]] = {}

        def timed(step: str, work: Callable[..., httpx.Response | dict], *arguments: object) -> None:
            began = time.perf_counter()
            found = work(*arguments)
            times.setdefault(step, []).append(1000 * (time.perf_counter() - began))
            if isinstance(found, httpx.Response):
                found.raise_for_status()

        with served(root) as server:
            timed("the first state", server.http.get, "/api/state")
            timed("until the machine has judged all", server.state)
            for k in range(rounds):
                state = server.http.get("/api/state").json()
                one = state["identities"][k % len(state["identities"])]
                drafts = (
                    {"do": "junk", "tracklets": [one["cover"]]},
                    {"do": "caption", "tracklets": [one["cover"]], "text": "red"},
                    {"do": "split", "tracklets": [one["cover"]]},
                )
                timed("a decision", server.decide, state["revision"], drafts[k % 3])
                timed("the state", server.http.get, "/api/state")
                timed("an identity", server.identity, state["identities"][-1]["identity"])
                if k % 10 == 0:
                    timed("until the machine has linked again", server.state)
            timed("an undo", lambda: server.http.post("/api/undo", json={}))
    return {step: (statistics.median(some), max(some)) for step, some in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="*", type=Path, help="built sets with ground truth, instead of the seeds")
    parser.add_argument("--work", type=Path, help="where footage and builds are kept")
    parser.add_argument("--only", choices=("decisions", "kills", "large"))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--tracklets", type=int, default=5000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = chosen.work or Path(folder)
        sets = chosen.datasets or [simulated(work, kind, seed) for kind in ("sports", "dance") for seed in SEEDS]
        rows = _rows(sets) if chosen.only in (None, "decisions") else []
        kills = _kills(sets[0], chosen.kills) if chosen.only in (None, "kills") else ""
    speed = _speed(chosen.tracklets) if chosen.only in (None, "large") else ""
    text = TEXT.format(
        people=PEOPLE,
        cameras=CAMERAS,
        events=EVENTS,
        rows="\n".join(rows),
        kills=kills,
        large=speed,
        machine=describe(),
    )
    if chosen.datasets is None and chosen.only is None:
        RESULTS.write_text(text)
    print(text)


def _rows(sets: list[Path]) -> list[str]:
    found = []
    for root in sets:
        truth = Truth(root)
        ours, plain = (review(root, truth, choose, relink=relink) for choose, relink in WAY.values())
        print(root.name, json.dumps({"questions": ours, "time": plain}), flush=True)
        found.append((root.name.removesuffix("-dataset"), ours, plain))
    rows = [_row(*one) for one in found]
    if len(found) > 1 and all(v is not None for _, *both in found for one in both for v in one.values()):
        sums = [{k: sum(one[n][k] for one in found) for k in ("to_f1", "to_perfection")} for n in (1, 2)]
        figures = (sums[0]["to_f1"], sums[1]["to_f1"], sums[0]["to_perfection"], sums[1]["to_perfection"])
        rows.append(f"| together | | | | {' | '.join(map(str, figures))} | |")
    confirmed = [sum(one[n]["kinds"].get("confirm", 0) for one in found) for n in (1, 2)]
    rows += [
        "",
        f"Confirmations of identities that were right, among these: {confirmed[0]} of ours, {confirmed[1]} by time.",
    ]
    return rows


def _row(name: str, ours: dict, plain: dict) -> str:
    cells = [name, ours["tracklets"], ours["wrong"], ours["f1"]]
    for key in ("to_f1", "to_perfection"):
        cells += ["never" if one[key] is None else one[key] for one in (ours, plain)]
    return f"| {' | '.join(map(str, [*cells, ours['machine']]))} |"


def _kills(root: Path, kills: int) -> str:
    acknowledged, lines = kill_rounds(root, kills)
    return (
        f"{kills} times a server was killed (SIGKILL) while a client decided as fast as it could. {acknowledged}\n"
        f"decisions were acknowledged; all of them are among the {lines} lines of the log, each server took up the\n"
        "state that a replay gives, and two replays gave the same bytes."
    )


def _speed(tracklets: int) -> str:
    rows = [f"| {step} | {median:.0f} | {most:.0f} |" for step, (median, most) in large(tracklets).items()]
    head = f"Milliseconds over HTTP, {tracklets:,} made-up tracklets in two events; the machine works beside it."
    return "\n".join([head, "", "| step | median | slowest |", "|---|---:|---:|", *rows])


if __name__ == "__main__":
    main()
