"""Several calls of one model at once, each with one thread: `model = one_thread_a_call(model)`.

    found = in_order(model, model.detect, batches, threads=2)

On a processor that takes less time than one call with several threads: what a call does beside its matrices, and what
lies between two calls, leaves no core idle. And what comes out doesn't depend on the number of threads.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ..datasets.prefetch import prefetch_map

Model = TypeVar("Model")
Job = TypeVar("Job")
Made = TypeVar("Made")


def one_thread_a_call(model: Model) -> Model:
    """The model with one thread a call, if several threads may call it at once; else the model as it is."""
    make = getattr(model, "one_thread_a_call", None)
    return model if make is None else make()


def in_order(model: object, call: Callable[[Job], Made], jobs: Iterable[Job], threads: int) -> Iterator[Made]:
    """`call` of each job, in order, by `threads` threads; by the caller's where `model` takes one call at a time."""
    several = getattr(model, "calls_at_once", False) and threads > 1
    return prefetch_map(call, jobs, threads if several else 0)
