"""One process at a time in a folder: `with exclusive(folder / ".lock", "Another build is at work …"): …`"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import ReidkitError, UsageError
from .progress import say


@contextmanager
def exclusive(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Holds the lock file `path` while the block runs; the system lets go of it when the process ends, however it ends.

    Args:
        path: of the lock file, which is made, with its folder, where it is not there, and stays behind.
        busy: the sentence for the user when another process holds it.
        wait: say `busy` and wait for the other process, in place of an error.

    Raises:
        UsageError: with `busy`, where another process holds the lock and we don't wait.
        ReidkitError: the folder can't be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                raise UsageError(busy) from None
            say(busy)
            lock.acquire()
    except OSError as error:
        raise ReidkitError(
            f"Cannot write '{path.parent}': {error.strerror or error}. Choose a folder you may write to, with free "
            "space."
        ) from None
    try:
        yield
    finally:
        lock.release()
