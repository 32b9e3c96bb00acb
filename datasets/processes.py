"""Processes that run jobs beside each other, and end when the command that started them ends.

    run_in_processes(extract_alone, [(source, …), …], workers=2)

However the command ends: Ctrl-C reaches it only, and it then ends its workers; and where it was killed, the system
closes its end of a pipe that every worker listens to.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection

from .errors import ReidkitError
from .progress import plain_lines


def run_in_processes(call: Callable[..., object], jobs: Sequence[tuple], workers: int) -> None:
    """Calls `call(*job)` for every job, in up to `workers` new processes, and waits for all of them.

    Args:
        call: a module's function (or a partial of one), and jobs of picklable values: both are sent to the processes.

    Raises:
        ReidkitError: a process was ended from outside, by the system for want of memory as a rule.
        Whatever the first job that fails raises; the other processes are ended at once.
    """
    context = multiprocessing.get_context("spawn")
    listen, hold = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_begin, initargs=(listen,))
    try:
        with _interrupts_held_back():
            running = [pool.submit(call, *job) for job in jobs]
        for job in running:
            job.result()
    except BaseException as error:
        hold.close()  # waiting for the end of jobs that nobody wants any more would take minutes
        if isinstance(error, BrokenProcessPool):
            raise ReidkitError(
                "A process of this command was ended from outside, perhaps because the memory was full. Run the same "
                "command again with fewer processes (--workers, --jobs); what was finished is kept."
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        hold.close()
        listen.close()


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits while the block runs, and processes started in it never see it (where the system can do that)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(listen: Connection) -> None:
    """The first thing that a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plain_lines()
    threading.Thread(target=_end_with_parent, args=(listen,), daemon=True, name="end-with-parent").start()


def _end_with_parent(listen: Connection) -> None:
    """Ends this process when the other end of the pipe, which the parent alone holds, is closed."""
    with contextlib.suppress(EOFError, OSError):
        listen.recv_bytes()  # nothing is ever sent
    os._exit(1)
