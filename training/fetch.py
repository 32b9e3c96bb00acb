"""Fetching weights: `get("yolo11m.pt")` puts the file where the commands look for it, checks it and records it.

Single files come through `downloads.py`, from the address that the library which owns them has for them, to the folder
where it keeps them: those libraries' own downloaders don't go on with a transfer that a killed process left, open_clip
leaves a cut file under the final name, and Ultralytics checks no sha256. What lies at the Hugging Face hub as many
files is fetched by huggingface_hub, which does all of that.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
from msgspec import Meta

from ..datasets.errors import ReidkitError, UsageError
from ..datasets.files import sha256_file
from ..datasets.locks import exclusive
from ..datasets.progress import say
from ..datasets.schema import decode_json
from ..datasets.text import printable
from . import downloads, weights
from .weights import Weights

RELEASE = "https://github.com/"


@dataclass(frozen=True)
class Got:
    """What `get` did: the path, and whether something was fetched for it."""

    name: str
    path: Path
    fetched: bool


@dataclass(frozen=True)
class Asset:
    """A file of a release, as GitHub's API describes it; old files have no digest."""

    name: str
    size: Annotated[int, Meta(ge=0)]
    digest: Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")] | None = None


@dataclass(frozen=True)
class Release:
    """What we read of GitHub's description of a release."""

    assets: tuple[Asset, ...]


def get(name: str) -> Got:
    """Fetches the weights of that name, unless they are here. One process at a time fetches them; others wait.

    Raises:
        UsageError: unknown name, or a damaged record.
        ReidkitError: they can't be fetched, or another file stands in their place.
    """
    entry = weights.wanted(name)
    lock = weights.cache_folder() / f".{entry.name.replace('/', '--')}.lock"
    with exclusive(lock, f"Another `reidkit weights get {name}` is at work; waiting for it.", wait=True):
        if entry.owner == "hub":
            path = weights.find(entry)
            return Got(name, path, False) if path else Got(name, _from_hub(entry), True)
        return _file(entry)


def _file(entry: Weights) -> Got:
    path = weights.find(entry)
    if entry.owner == "package":
        if path is None:
            raise ReidkitError(f"'{entry.name}' ships with reidkit and is not there. Install reidkit again.")
        return Got(entry.name, path, False)
    if path and path.parent not in {place.parent for place in weights.places(entry)}:
        return Got(entry.name, path, False)  # the same weights in another library's cache
    target = path or weights.places(entry)[-1]
    size, sha256 = entry.size, entry.sha256
    if not sha256:
        size, sha256 = _release_digest(entry)
    if path:
        _accept(entry, path, sha256)
        return Got(entry.name, path, False)
    part, digest = downloads.transfer(entry.source, target, size=size, sha256=sha256)
    # The record is written first: if we are stopped between the two, the bytes are finished and only want their name.
    source = downloads.without_password(downloads.address(entry.source))
    weights.record(entry, digest, source, part.stat().st_size)
    downloads.finish(part, target)
    return Got(entry.name, target, True)


def _accept(entry: Weights, path: Path, sha256: str) -> None:
    """Records a file that is there already, put there by hand or by its library; raises where it is another one."""
    digest = sha256_file(path)
    if digest in weights.recorded():
        return
    if digest != sha256:
        reason = f"it should be {sha256[:16]}…" if sha256 else "which was not fetched by reidkit"
        raise ReidkitError(
            f"'{path}' is there, but its sha256 is {digest[:16]}…; {reason}. It is left as it is: move it away and run "
            "the same command again to fetch the file anew."
        )
    weights.record(entry, digest, str(path), path.stat().st_size)


def _release_digest(entry: Weights) -> tuple[int, str]:
    """Length and sha256 of a release's file by the release page's API; (0, "") where it doesn't tell."""
    if not entry.source.startswith(RELEASE):
        return 0, ""
    owner, repository, _, _, tag, file = entry.source.removeprefix(RELEASE).split("/")
    url = downloads.address(f"https://api.github.com/repos/{owner}/{repository}/releases/tags/{tag}")
    try:
        with downloads.client() as session:
            answer = session.get(url).raise_for_status()
        assets = decode_json(answer.content, Release, url, "").assets
    except (httpx.HTTPError, httpx.InvalidURL, UsageError):
        assets = ()
    asset = next((asset for asset in assets if asset.name == file), Asset(file, 0))
    if not asset.digest:
        say(f"{entry.name}: its release page gives no sha256; what comes is taken as it is, and its sha256 recorded.")
    return asset.size, (asset.digest or "").removeprefix("sha256:")


def _from_hub(entry: Weights) -> Path:
    """The folder of a repository's files, fetched or gone on with by huggingface_hub, which checks them itself."""
    from huggingface_hub import constants, snapshot_download

    mirror = bool(os.environ.get(downloads.MIRROR))
    try:
        folder = snapshot_download(
            entry.source,
            revision=entry.revision or None,
            cache_dir=weights.hub_folder(),
            allow_patterns=list(weights.HUB_PATTERNS),
            endpoint=downloads.address(constants.ENDPOINT) if mirror else None,
            token=False if mirror else None,  # the user's token is for the hub alone
        )
    except Exception as error:  # errors of three libraries without a common base
        reason = printable(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)[:200]
        raise ReidkitError(
            f"'{entry.name}' can't be fetched from the Hugging Face hub ({reason.rstrip('.')}). Run the same command "
            "again: it goes on from there."
        ) from None
    return Path(folder)
