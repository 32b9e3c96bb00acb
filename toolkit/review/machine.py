"""The machine beside the reviewer: it judges anew and links again after every change, in a thread of its own.

    with Machine(session, views):
        …                                   # `views.judged` and the session follow the decisions

It works on a copy of the state; where somebody decides meanwhile, it begins again.
"""

import threading
from collections.abc import Iterable
from functools import partial

from ...datasets.progress import say
from ...datasets.replay import Review
from .embeddings import Embeddings, embeddings_of
from .judgement import Judged, judge, over_events, together
from .relink import consequences, summary
from .scene import scene_of
from .session import MACHINE, Change, Session
from .views import Views


class Machine:
    """
    Args:
        relink: whether it also links again; it judges in any case.
    """

    def __init__(self, session: Session, views: Views, *, relink: bool = True) -> None:
        self._session, self._views, self._relink = session, views, relink
        self._news = threading.Condition()
        self._waiting: list[Change] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="review machine", daemon=True)
        self._by_event: dict[str, Judged] = {}
        self._over = over_events(session.material)

    def __enter__(self) -> "Machine":
        self._views.thinking = True
        self._session.watchers.append(self._hear)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._stopping = True
            self._news.notify()
        self._thread.join()
        self._session.watchers.remove(self._hear)

    def _hear(self, change: Change) -> None:
        if threading.current_thread() is self._thread:
            return
        with self._news:
            if not self._stopping:
                self._views.thinking = True
                self._waiting.append(change)
                self._news.notify()

    def _run(self) -> None:
        try:
            self._think()
        except Exception as error:  # the review goes on without the machine, and says so
            what = f"{type(error).__name__}: {error}"
            say(f"Nothing is judged and linked anew any more, only what you decide counts ({what}).")
        finally:
            with self._news:
                self._stopping, self._views.thinking = True, False
            self._say_so()

    def _think(self) -> None:
        embeddings = embeddings_of(self._session.material)
        if embeddings is None:
            return
        _, before = self._snapshot()
        self._judge({origin.event for origin in self._session.material.origins.values()}, before, embeddings)
        while True:
            with self._news:
                self._views.thinking = bool(self._waiting)
            if not self._views.thinking:
                self._say_so()
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                changes, self._waiting = self._waiting, []
            changed = {identity for change in changes for identity in change.identities}
            revision, review = self._snapshot()
            events = self._events(changed, before, review)
            self._judge(events, review, embeddings)
            if self._relink:
                drafts = consequences(review, self._views.judged, changed, partial(self._session.differ, review))
                moved = self._session.append_consequences(revision, drafts, summary)
                if moved:
                    former, (_, review) = review, self._snapshot()
                    self._judge(self._events({*changed, *moved}, former, review), review, embeddings)
            before = review

    def _say_so(self) -> None:
        """Tells all windows to look again. Never within `_news`, which `_hear` waits for with the session's lock."""
        with self._session.lock:
            self._session.announce(Change(self._session.revision, MACHINE, "", ()))

    def _snapshot(self) -> tuple[int, Review]:
        with self._session.lock:
            return self._session.revision, self._session.review.copy()

    def _judge(self, events: Iterable[str], review: Review, embeddings: Embeddings) -> None:
        for event in sorted(events):
            scene = scene_of(event, self._session.material, review, embeddings)
            self._by_event[event] = Judged() if scene is None else judge(scene)
        self._views.judged = together([*self._by_event.values(), self._over])

    def _events(self, identities: Iterable[int], *reviews: Review) -> set[str]:
        """The events that some identities are seen in, before and after a change."""
        origins = self._session.material.origins
        return {
            origins[review.pieces[id_].origin].event
            for review in reviews
            for identity in identities
            for id_ in review.members.get(identity, ())
        }
