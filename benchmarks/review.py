"""How many decisions make a build right: a scripted reviewer who knows the truth drives the HTTP of `reidkit review`.

    python benchmarks/review.py DATASET… [-o results.json]          # built sets with ground truth
    python benchmarks/review.py --simulate 911 912 913              # builds sports and dance of these seeds first
    python benchmarks/review.py --kills 50                          # kills a server while it decides
    python benchmarks/review.py --large 5000                        # milliseconds with so many tracklets

Two reviewers with the same abilities work on copies of a set. One answers the questions in the order in which the
server asks them, and the machine links again after each answer. The other takes the proposals in order of time, and
nothing is linked again. A decision is a line that the reviewer has written, a confirmation too. A reviewer sees whom
every tracklet shows, remembers the identities that he has seen, and makes one decision about what he looks at.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import polars as pl

from reidkit.datasets.decisions import read_decisions
from reidkit.datasets.own import tracklet_table
from reidkit.toolkit.truth import score_links

GOOD = 0.99  # B-cubed F1
OVERLAP = 0.5  # seconds


class Server:
    """A running `reidkit review`, and its HTTP."""

    def __init__(self, root: Path, *, relink: bool = True) -> None:
        command = [sys.executable, "-m", "reidkit", "review", str(root), "--no-browser", "--by", "script"]
        if not relink:
            command.append("--no-relink")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)", line)
        if not found:
            raise SystemExit(f"The server of '{root}' said: {line!r}")
        headers = {"Authorization": f"Bearer {found[2]}"}
        self.http = httpx.Client(base_url=found[1], headers=headers, trust_env=False, timeout=60)

    def state(self) -> dict:
        """When the machine has thought."""
        while True:
            state = self.http.get("/api/state").json()
            if not state["progress"]["thinking"]:
                return state
            time.sleep(0.01)

    def identity(self, number: int) -> dict:
        return self.http.get(f"/api/identity/{number}").json()

    def decide(self, revision: int, draft: dict) -> httpx.Response:
        return self.http.post("/api/decide", json={"revision": revision, "decisions": [draft]})

    def labels(self, state: dict) -> dict[str, int]:
        """Tracklet -> identity; -1 of nobody's."""
        found = {}
        for event in state["events"]:
            for camera in self.http.get(f"/api/timeline/{quote(event['name'], safe='')}").json()["cameras"]:
                for track in camera["tracks"]:
                    found[track["id"]] = track["identity"] if track["kind"] == "person" else -1
        return found


@contextmanager
def server(root: Path, *, relink: bool = True) -> Iterator[Server]:
    running = Server(root, relink=relink)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)
        running.process.wait(timeout=30)


class Truth:
    """Whom each tracklet of a built set shows; nobody, too, where a better tracklet shows him there and then."""

    def __init__(self, root: Path) -> None:
        self.table = tracklet_table(root)
        ranked = self.table.filter(pl.col("truth").is_not_null()).sort(
            [pl.col("kind") == "person", "frames"], descending=True
        )
        self.person: dict[str, tuple[str, int]] = {}
        taken: dict[tuple, list[tuple[float, float]]] = defaultdict(list)
        for row in ranked.iter_rows(named=True):
            start, end = row["start"], row["end"]
            here = taken[row["event"], row["camera"], row["truth"]]
            short = (end - start) / 2
            if all(min(end, b) - max(start, a) <= min(OVERLAP, short, (b - a) / 2) for a, b in here):
                here.append((start, end))
                self.person[row["id"]] = (row["event"], row["truth"])
        self.starts = dict(self.table.select("id", "start").iter_rows())

    def who(self, tracklets: list[str]) -> tuple[str, int] | None:
        """The person most of them show."""
        shown = Counter(self.person[id_] for id_ in tracklets if id_ in self.person)
        return max(shown, key=lambda one: (shown[one], one)) if shown else None

    def f1(self, labels: dict[str, int]) -> float:
        ids = sorted(self.person)
        identity = np.array([labels[id_] for id_ in ids])
        event, truth = (np.array([self.person[id_][k] for id_ in ids]) for k in (0, 1))
        scores = score_links(identity, truth, np.zeros(len(ids), int), event)
        precision, recall = scores["bcubed_precision"], scores["bcubed_recall"]
        assert precision is not None
        assert recall is not None
        return 2 * precision * recall / (precision + recall)

    def wrong(self, labels: dict[str, int]) -> int:
        """Tracklets that aren't where they belong."""
        homes: dict[tuple[str, int], Counter] = defaultdict(Counter)
        for id_, person in self.person.items():
            homes[person][labels[id_]] += 1
        home = {
            person: max((k for k in c if k >= 0), key=lambda k: (c[k], -k), default=-1) for person, c in homes.items()
        }
        owners = Counter(home.values())
        count = 0
        for id_, label in labels.items():
            person = self.person.get(id_)
            fine = label < 0 if person is None else label == home[person] >= 0 and owners[label] == 1
            count += not fine
        return count


class Reviewer:
    """Makes one decision about an identity, as somebody does who sees it."""

    def __init__(self, served: Server, truth: Truth) -> None:
        self.served, self.truth = served, truth
        self.seen: dict[tuple[str, int], str] = {}  # person -> a tracklet of the identity that he was seen in

    def members(self, identity: int) -> list[str]:
        return [t["id"] for t in self.served.identity(identity)["tracklets"]]

    def home(self, person: tuple[str, int], labels: dict[str, int]) -> int | None:
        """The identity of a person that was seen before."""
        number = labels.get(self.seen.get(person, ""), -1)
        return number if number >= 0 else None

    def mend(self, identity: int, labels: dict[str, int]) -> dict:
        """What an identity needs: who doesn't belong leaves it; the same person's other identity joins it; else it is
        confirmed."""
        members = self.members(identity)
        person = self.truth.who(members)
        if person is None:
            return {"do": "junk", "tracklets": members}
        strangers: dict[tuple[str, int] | None, list[str]] = defaultdict(list)
        for id_ in members:
            if self.truth.person.get(id_) != person:
                strangers[self.truth.person.get(id_)].append(id_)
        own = next(id_ for id_ in members if self.truth.person.get(id_) == person)
        known = self.home(person, labels)
        if strangers:
            other = max(strangers, key=lambda one: (len(strangers[one]), str(one)))
            return self.bring(other, strangers[other], labels)
        if known is not None and known != identity:
            return {"do": "merge", "tracklets": [self.seen[person], own]}
        self.seen[person] = own
        return {"do": "confirm", "tracklets": members}

    def settle(self, pair: list[str], asked: list[str], labels: dict[str, int]) -> dict:
        """What makes two tracklets of one moment and camera fit: who is no person there, or of another one, leaves."""
        for id_ in sorted(pair, key=lambda id_: id_ in asked):  # who is there already first
            if self.truth.person.get(id_) != self.truth.who([t for t in labels if labels[t] == labels[id_] >= 0]):
                return self.bring(self.truth.person.get(id_), [id_], labels)
        raise SystemExit(f"{pair} can't be one person, and both are right where they are.")

    def bring(self, person: tuple[str, int] | None, tracklets: list[str], labels: dict[str, int]) -> dict:
        if person is None:
            return {"do": "junk", "tracklets": tracklets}
        home = self.home(person, labels)
        if home is not None:
            return {"do": "identity", "tracklets": tracklets, "identity": home}
        self.seen[person] = tracklets[0]
        return {"do": "split", "tracklets": tracklets}


def answer(reviewer: Reviewer, question: dict, labels: dict[str, int]) -> dict:
    """The decision that answers a question."""
    truth = reviewer.truth
    first = question["identities"][0]
    if question["kind"] == "pure":
        return reviewer.mend(first, labels)
    members = [reviewer.members(identity) for identity in question["identities"]]
    people = [truth.who(some) for some in members]
    if question["kind"] == "same":
        covers = [
            next(id_ for id_ in some if truth.person.get(id_) == person)
            for some, person in zip(members, people, strict=True)
        ]
        for person, cover in zip(people, covers, strict=True):
            if person is not None:
                reviewer.seen.setdefault(person, cover)
        return {"do": "merge" if people[0] == people[1] else "different", "tracklets": covers}
    shown = question["tracklets"]
    if people[0] is not None:
        reviewer.seen.setdefault(people[0], next(id_ for id_ in members[0] if truth.person.get(id_) == people[0]))
    mine = [id_ for id_ in shown if id_ in truth.person and truth.person[id_] == people[0]]
    if mine:
        return {"do": "identity", "tracklets": mine, "identity": first}
    other = truth.who(shown)
    some = [id_ for id_ in shown if truth.person.get(id_) == other]
    return reviewer.bring(other, some, labels)


def by_questions(reviewer: Reviewer, state: dict, labels: dict[str, int]) -> dict | None:
    """The decision that our reviewer makes next; None: nothing is asked any more."""
    questions = state["questions"]
    return answer(reviewer, questions[0], labels) if questions else None


def by_time(reviewer: Reviewer, state: dict, labels: dict[str, int]) -> dict | None:
    """The decision of the one who takes the proposals in order of time, and then what is nobody's."""
    first: dict[int, float] = defaultdict(lambda: float("inf"))
    for id_, label in labels.items():
        first[label] = min(first[label], reviewer.truth.starts[id_])
    confirmed = {one["identity"] for one in state["identities"] if one["confirmed"]}
    for identity in sorted((k for k in first if k >= 0), key=lambda k: (first[k], k)):
        if identity not in confirmed:
            return reviewer.mend(identity, labels)
    for id_ in sorted(labels, key=lambda id_: (reviewer.truth.starts[id_], id_)):
        if labels[id_] < 0 and id_ in reviewer.truth.person:
            return reviewer.bring(reviewer.truth.person[id_], [id_], labels)
    return None


def review(root: Path, truth: Truth, choose: Callable[[Reviewer, dict, dict], dict | None], *, relink: bool) -> dict:
    """Reviews a copy of a set to the end."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / root.name
        shutil.copytree(root, copy)
        (copy / "decisions.jsonl").unlink(missing_ok=True)
        with server(copy, relink=relink) as served:
            reviewer = Reviewer(served, truth)
            curve: list[tuple[float, int]] = []
            times, kinds, machine = [], Counter(), 0
            while True:
                state = served.state()
                labels = served.labels(state)
                curve.append((truth.f1(labels), truth.wrong(labels)))
                draft = choose(reviewer, state, labels) if curve[-1][1] else None
                if draft is None or len(curve) > 600:
                    break
                began = time.perf_counter()
                reply = served.decide(state["revision"], draft)
                times.append(time.perf_counter() - began)
                if "conflict" in reply.json():  # both are shown: the one that is wrong there leaves first
                    draft = reviewer.settle(reply.json()["conflict"]["tracklets"], draft["tracklets"], labels)
                    reply = served.decide(state["revision"], draft)
                if reply.status_code != 200:
                    raise SystemExit(f"{root.name}: {draft} was answered by {reply.text}")
                kinds[draft["do"]] += 1
            machine = sum(d.by == "machine" for d in read_decisions(copy))
    good = next((n for n, (f1, _) in enumerate(curve) if f1 >= GOOD), None)
    perfect = next((n for n, (_, wrong) in enumerate(curve) if not wrong), None)
    return {
        "f1_before": round(curve[0][0], 4),
        "wrong_before": curve[0][1],
        "to_f1": good,
        "to_perfection": perfect,
        "decisions": len(times),
        "f1_after": round(curve[-1][0], 4),
        "wrong_after": curve[-1][1],
        "machine": machine,
        "kinds": dict(kinds),
        "median_ms": round(1000 * float(np.median(times)), 1) if times else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", type=Path)
    chosen = parser.parse_args()
    for root in chosen.datasets:
        truth = Truth(root)
        for name, choose, relink in (("questions", by_questions, True), ("time", by_time, False)):
            print(root.name, name, json.dumps(review(root, truth, choose, relink=relink)), flush=True)


if __name__ == "__main__":
    main()
