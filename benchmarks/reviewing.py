"""A server of `reidkit review` in a process of its own, and a scripted reviewer who knows the truth and uses its HTTP.

    with served(root) as server:
        draft = answer(Reviewer(server, Truth(root)), server.state()["questions"][0], labels)

A reviewer sees whom every tracklet shows, remembers the identities that he has seen, and makes one decision about what
he looks at.
"""

import multiprocessing
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import polars as pl

from reidkit.datasets.own import tracklet_table
from reidkit.toolkit.linking.constraints import HANDOVER
from reidkit.toolkit.review.server import serve
from reidkit.toolkit.review.session import open_session
from reidkit.toolkit.truth import score_links

# A process forked from one that has imported the server already starts at once, and can be killed.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["reidkit.toolkit.review.server"])


class Server:
    """A running review, its process, and its HTTP."""

    def __init__(self, root: Path, *, relink: bool = True) -> None:
        receiver, sender = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_serve, args=(root, sender, relink), daemon=True)
        self.process.start()
        sender.close()
        base, _, token = receiver.recv().partition("/?token=")
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60)

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

    def kill(self) -> None:
        """As `kill -9`."""
        self.process.kill()
        self.process.join()
        self.http.close()


def _serve(root: Path, sender, relink: bool) -> None:
    with open_session(root) as session:
        serve(session, port=0, by="script", ready=sender.send, relink=relink)


@contextmanager
def served(root: Path, *, relink: bool = True) -> Iterator[Server]:
    """A server while the block runs."""
    server = Server(root, relink=relink)
    try:
        yield server
    finally:
        server.kill()


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
            if all(min(end, b) - max(start, a) <= min(HANDOVER, short, (b - a) / 2) for a, b in here):
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
        self.done: set[str] = set()  # tracklets of identities that were found right, and those brought there

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
        self.done.update(members)
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
            self.done.update(tracklets)
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
    waiting = {label for id_, label in labels.items() if label >= 0 and id_ not in reviewer.done}
    if waiting:
        return reviewer.mend(min(waiting, key=lambda k: (first[k], k)), labels)
    for id_ in sorted(labels, key=lambda id_: (reviewer.truth.starts[id_], id_)):
        if labels[id_] < 0 and id_ in reviewer.truth.person:
            return reviewer.bring(reviewer.truth.person[id_], [id_], labels)
    return None
