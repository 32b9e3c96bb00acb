"""Durable files: everything reidkit writes appears whole or not at all.

Example:

    write_atomic(path, data)              # written under a temporary name beside the target, fsynced and renamed
    with atomic_path(path) as temporary:  # the same for a library that wants a path
        table.write_parquet(temporary)
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from .errors import ReidkitError

# Only writing ends so. Polars and safetensors put the system's words into errors of their own kind.
_WRITING = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS))


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path to write to; on leaving without an error it is fsynced and renamed to `path`.

    Raises:
        ReidkitError: the folder can't be made, or the file can't be written. Any other error of the body, of a file
            that it reads for instance, stays as it is.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        except Exception as error:
            named = str(getattr(error, "filename", None)) == str(temporary)
            if named or any(words in str(error) for words in _WRITING):
                raise _cannot_write(path, error) from error
            raise
        with _told(path):
            publish(temporary, path)
    finally:
        with suppress(OSError):  # absent after the renaming; on a read-only file system even that can't be asked
            temporary.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: Exception) -> ReidkitError:
    reason = getattr(error, "strerror", None) or error
    return ReidkitError(f"Cannot write '{path}': {reason}. Choose a folder you may write to, with free space.")


def publish(temporary: Path, path: Path) -> None:
    """Renames a finished file to `path` in the same folder, so that neither its bytes nor the rename can be lost."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut. Windows opens no folders, so nothing is done there."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path | str, data: bytes | str) -> None:
    """Writes `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def append_durably(path: Path, data: bytes, fix: str) -> None:
    """Adds `data` to the end of `path`, which is made where it isn't there; on return it can't be lost any more.

    Args:
        fix: what somebody can do where it can't be written.

    Raises:
        ReidkitError: it can't be written; the file is then as it was.
    """
    size = path.stat().st_size if path.exists() else None
    try:
        with open(path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if size is None:
            sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # a part of a line would join the next one
            os.truncate(path, size or 0)
        raise ReidkitError(f"Cannot write '{path}': {error.strerror or error}. {fix}") from None


def write_json(path: Path | str, value: object) -> None:
    """Writes `value` as indented JSON, whole or not at all. NaN is refused (ValueError)."""
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def lies_below(name: str) -> bool:
    """Whether `name`, out of a file, is that of a file below a folder, on any system: no root, no drive, no way up.

    >>> lies_below("crops/final--left--0000.tar"), lies_below("../final.tar"), lies_below("C:\\\\final.tar")
    (True, False, False)
    """
    paths = PurePosixPath(name), PureWindowsPath(name)
    return (
        bool(paths[0].parts)
        and "\0" not in name
        and not any(path.anchor or ".." in path.parts for path in paths)
        and all(len(part.encode(errors="surrogatepass")) <= 255 for part in paths[0].parts)
    )


def sha256_file(path: Path | str) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
