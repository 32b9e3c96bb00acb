"""One file over HTTPS: resumed where an earlier transfer broke off, and checked before it counts as there.

    part, digest = transfer("https://…/yolo11m.pt", Path("yolo11m.pt"), size=40_684_120, sha256="d5ff…")
    finish(part, Path("yolo11m.pt"))

The bytes are collected in `.yolo11m.pt.part` beside the target; `.yolo11m.pt.part.json` says of which version of the
file they are. A server that gives another version, or the whole file when asked for its rest, is listened to from the
first byte on.
"""

import contextlib
import errno
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import httpx
from msgspec import Meta

from ..datasets.errors import ReidkitError, UsageError
from ..datasets.files import publish, sha256_file, write_json
from ..datasets.progress import progress, say
from ..datasets.schema import read_json
from ..datasets.text import printable

MIRROR = "REIDKIT_WEIGHTS_SOURCE"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
REDIRECTS = 10
TRIES = 3
PAUSE_SECONDS = 2.0
TIMEOUT = httpx.Timeout(60.0, connect=20.0)


@dataclass(frozen=True)
class Version:
    """Which version of a file the collected bytes belong to.

    Attributes:
        url: where it came from, without a password.
        validator: its strong ETag, or when it was last modified; "" where the server told neither.
        size: of the whole file in bytes; 0 where it is not known.
    """

    url: str
    validator: str
    size: Annotated[int, Meta(ge=0)]


class _BrokenOffError(Exception):
    """A transfer ended before its end; trying again may help."""


def address(url: str) -> str:
    """Where `url` is asked for: there, or below the mirror in $REIDKIT_WEIGHTS_SOURCE, host and path appended."""
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    return f"{mirror}/{url.removeprefix('https://')}" if mirror else url


def transfer(url: str, target: Path, *, size: int = 0, sha256: str = "") -> tuple[Path, str]:
    """Collects the file and checks its length and sha256.

    Args:
        url: as the table has it; see `address`.
        size: in bytes; 0: whatever the server says. sha256: "" where it is not known.

    Returns:
        The finished file beside the target, to be renamed by `finish`, and its sha256.

    Raises:
        ReidkitError: the source can't be reached, doesn't have the file, redirects in circles or to an unsafe address,
            broke off, or gave other bytes; the disk is full. What was collected is kept where it may still be right.
    """
    url = address(url)
    shown = without_password(url)
    part = target.with_name(f".{target.name}.part")
    note = _note(part)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with client() as session:
            for attempt in range(TRIES):
                try:
                    _collect(session, url, part, note, target, size)
                    break
                except _BrokenOffError as error:
                    have = part.stat().st_size if part.exists() else 0
                    if attempt == TRIES - 1:
                        raise ReidkitError(
                            f"The transfer of '{target.name}' from {shown} broke off after {have / 1e6:.1f} MB "
                            f"({error}). Run the same command again: it goes on from there."
                        ) from None
                    say(f"{target.name}: broke off after {have / 1e6:.1f} MB ({error}); trying again.")
                    time.sleep(PAUSE_SECONDS * 2**attempt)
    except OSError as error:
        raise ReidkitError(_disk(error, part)) from None
    digest = sha256_file(part)
    if sha256 and digest != sha256:
        _discard(part, note)
        raise ReidkitError(
            f"What {shown} gave is not '{target.name}': its sha256 is {digest[:16]}…, it should be {sha256[:16]}…. It "
            "was deleted. Run the same command again; if that doesn't help, the file was replaced at its source."
        )
    return part, digest


def client() -> httpx.Client:
    """A client that sends no more than it must, through the proxies that the environment names.

    Raises:
        ReidkitError: they, or the certificates that it names, can't be used.
    """
    try:
        return httpx.Client(timeout=TIMEOUT, headers={"Accept-Encoding": "identity", "User-Agent": "reidkit"})
    except (ValueError, ImportError, OSError) as error:
        raise ReidkitError(
            f"The network can't be used as it is set up here ({_reason(error)}). Look at the variables HTTPS_PROXY, "
            "ALL_PROXY and SSL_CERT_FILE."
        ) from None


def finish(part: Path, target: Path) -> None:
    """Renames what `transfer` collected to its name; nothing else is left."""
    publish(part, target)
    _note(part).unlink(missing_ok=True)


def without_password(url: str) -> str:
    """An address as it may be shown and stored.

    >>> without_password("https://me:secret@example.org/model.pth")
    'https://example.org/model.pth'
    """
    return str(_parsed(url).copy_with(userinfo=b""))


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ReidkitError(f"'{printable(url)[:200]}' is no address ({_reason(error)}).") from None


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _collect(client: httpx.Client, url: str, part: Path, note: Path, target: Path, size: int) -> None:
    """Writes what is missing of the file to `part`.

    Raises:
        _BrokenOffError: there is more to come. ReidkitError: there is not. OSError: of the disk.
    """
    have, version = _collected(without_password(url), part, note)
    if version and have == version.size:
        return
    headers = {"Range": f"bytes={have}-", "If-Range": version.validator} if have and version else {}
    with _open(client, url, headers, target) as response:
        if response.status_code == 206 and version and _continues(response, have, version):
            mode = "ab"
        elif response.status_code == 200:
            mode, have = "wb", 0
            length = int(response.headers.get("content-length", 0)) or size
            version = Version(without_password(url), _validator(response), length)
            _refuse_other(response, version, target, size)
            part.unlink(missing_ok=True)  # before the note: bytes never lie beside the note of another version
            write_json(note, asdict(version))
        else:  # the rest that was asked for is not that of this version
            _discard(part, note)
            raise _BrokenOffError(f"its answer to a request for the rest is {response.status_code}")
        left = version.size - have if version.size else 0
        free = shutil.disk_usage(part.parent).free
        if left > free:
            raise OSError(errno.ENOSPC, f"{left / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")
        _write(response, part, mode, left, target)
    have = part.stat().st_size
    if version.size and have != version.size:
        if have > version.size:
            _discard(part, note)
        raise _BrokenOffError(f"{version.size / 1e6:.1f} MB were announced")


def _collected(shown: str, part: Path, note: Path) -> tuple[int, Version | None]:
    """How many bytes are there already, and of which version; (0, None) where they can't be gone on with."""
    try:
        version = read_json(note, Version, "")
        have = part.stat().st_size
    except (UsageError, OSError):
        return 0, None
    if version.url != shown or not version.validator or not have or (version.size and have > version.size):
        return 0, None
    return have, version


def _write(response: httpx.Response, part: Path, mode: str, left: int, target: Path) -> None:
    with (
        open(part, mode) as file,
        progress(f"fetch {target.name}", total=left or None, unit="bytes") as advance,
    ):
        start = file.tell()
        try:
            for chunk in response.iter_raw():
                if left and file.tell() + len(chunk) > left + start:
                    raise _BrokenOffError("it sends more than the file's length")
                file.write(chunk)
                advance(len(chunk))
        except httpx.TransportError as error:
            raise _BrokenOffError(_reason(error)) from None


@contextlib.contextmanager
def _open(client: httpx.Client, url: str, headers: dict[str, str], target: Path):
    """The answer to a GET, after its redirects: 200, 206 or 416, the body unread."""
    there = _parsed(url)
    if not _safe(there, there):
        raise ReidkitError(f"'{without_password(url)}' is no https address. Set {MIRROR} to one, or unset it.")
    for _ in range(REDIRECTS + 1):
        try:
            response = client.send(client.build_request("GET", there, headers=headers), stream=True)
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout) as error:
            raise _BrokenOffError(_reason(error)) from None
        except httpx.TransportError as error:
            raise ReidkitError(
                f"{there.host} can't be reached ({_reason(error)}). Check the network; or fetch "
                f"{without_password(url)} on another machine, put it here as '{target}', and run the same command "
                "again, which then checks it."
            ) from None
        with contextlib.closing(response):
            if not response.has_redirect_location:
                yield _checked(response, without_password(url))
                return
            following = there.join(response.headers["location"])
        if not _safe(following, there):
            raise ReidkitError(
                f"{there.host} redirects to {following.scheme}://{following.host}, which is not https. Nothing was "
                "fetched."
            )
        there = following
    raise ReidkitError(
        f"{without_password(url)} redirects in circles ({REDIRECTS} times, at last to {there.host}). Try again later."
    )


def _safe(there: httpx.URL, before: httpx.URL) -> bool:
    """https; or http on the loopback address, if that is where we are."""
    return there.scheme == "https" or (there.scheme == "http" and {there.host, before.host} <= set(LOOPBACK))


def _checked(response: httpx.Response, shown: str) -> httpx.Response:
    code = response.status_code
    if code in (200, 206, 416):
        return response
    if code >= 500 or code == 429:
        raise _BrokenOffError(f"{response.url.host} answers {code} {response.reason_phrase}")
    fix = "Look for a newer reidkit." if code in (404, 410) else "Try again later, or from another network."
    raise ReidkitError(f"{shown} can't be fetched: {response.url.host} answers {code} {response.reason_phrase}. {fix}")


def _refuse_other(response: httpx.Response, version: Version, target: Path, size: int) -> None:
    """Raises ReidkitError where the headers tell that what comes is not the file."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    packed = response.headers.get("content-encoding", "identity")
    if kind == "text/html" or packed != "identity":
        raise ReidkitError(
            f"{version.url} gives {'a web page' if kind == 'text/html' else f'bytes packed as {packed}'} in place of "
            f"'{target.name}'. Is there a proxy between? Try from another network."
        )
    if size and version.size and version.size != size:
        raise ReidkitError(
            f"{version.url} gives {version.size:,} bytes; '{target.name}' has {size:,}. The file was replaced at its "
            "source: nothing was fetched."
        )


def _continues(response: httpx.Response, have: int, version: Version) -> bool:
    """Whether a partial answer begins where we stand, in the version that we have the beginning of."""
    span, _, total = response.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    same = _validator(response) in ("", version.validator) and (not version.size or total in (str(version.size), "*"))
    return span.partition("-")[0] == str(have) and same


def _validator(response: httpx.Response) -> str:
    tag = response.headers.get("etag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("last-modified", "")


def _discard(part: Path, note: Path) -> None:
    part.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def _disk(error: OSError, part: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk of '{part.parent}' is full ({error.strerror}). Free some space and run the same command "
            "again: it goes on from there."
        )
    return f"Cannot write '{part}': {error.strerror or error}. Choose a folder you may write to, with free space."


def _reason(error: Exception) -> str:
    return printable(str(error))[:200].rstrip(".") or type(error).__name__
