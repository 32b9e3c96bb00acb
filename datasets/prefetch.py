"""Work made ahead of its use by threads.

Example:

    for frame in prefetch(reader):                       # one thread runs the iterator
        ...
    for batch in prefetch_map(make, jobs, workers=4):    # a pool makes each job's value; the order stays
        ...
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Job = TypeVar("Job")
Made = TypeVar("Made")


def prefetch(items: Iterable[Item], depth: int = 4) -> Iterator[Item]:
    """The same items in the same order, made by one thread up to `depth` ahead.

    An error that making an item raises is raised here. The thread has ended when the iterator is left, early or not.

    >>> list(prefetch((number * number for number in range(4)), depth=2))
    [0, 1, 4, 9]
    """
    line: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(entry: tuple) -> bool:
        while not stop.is_set():
            try:
                line.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = threading.Thread(target=make, daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            what, value = line.get()
            if what == "end":
                return
            if what == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()


def prefetch_map(make: Callable[[Job], Made], jobs: Iterable[Job], workers: int) -> Iterator[Made]:
    """`make(job)` of each job, in order, made by `workers` threads up to workers + 1 jobs ahead; 0: by the caller's."""
    if workers <= 0:
        yield from map(make, jobs)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting: deque = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(make, job))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Leaving early (an error, a broken-off loop) must not wait for work nobody wants.
        pool.shutdown(wait=False, cancel_futures=True)
