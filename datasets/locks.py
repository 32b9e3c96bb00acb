"""One process at a time in a folder: `with exclusive(folder / ".lock", "Another build is at work …"): …`"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import ReidkitError, UsageError


@contextmanager
def exclusive(path: Path, busy: str) -> Iterator[None]:
    """Holds the lock file `path` while the block runs; the system lets go of it when the process ends, however it ends.

    Args:
        path: of the lock file, which is made, with its folder, where it is not there, and stays behind.
        busy: the sentence for the user when another process holds it.

    Raises:
        UsageError: with `busy`, where another process holds the lock.
        ReidkitError: the folder can't be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(busy) from None
    except OSError as error:
        raise ReidkitError(
            f"Cannot write '{path.parent}': {error.strerror or error}. Choose a folder you may write to, with free "
            "space."
        ) from None
    try:
        yield
    finally:
        lock.release()
