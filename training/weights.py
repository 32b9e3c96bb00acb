"""The weights that commands want: what each is, where it is looked for, and whether what lies there is vouched for.

    path = find(known("yolo11m.pt"))                 # None where it is not on this machine
    raise missing("yolo11m.pt", otherwise="use a YOLOX file: --detector yolox_s.onnx")
    vouched(sha256_file(path))                       # whether reading the file may run code that is in it

`weights.toml` is the table, `fetch.py` fetches. Nothing here imports torch or touches the network.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..datasets.errors import MissingWeights, UsageError
from ..datasets.files import write_json
from ..datasets.locks import exclusive
from ..datasets.names import nearest
from ..datasets.schema import read_json, read_toml

PACKAGE = Path(__file__).resolve().parents[1]
RECORD = "fetched.json"
# Detectors that Ultralytics releases beside those of the table, under addresses of one form: family and sizes.
RELEASED = re.compile(r"(yolov8[nsmlx]|yolov9[tsmce]|yolov10[nsmblx]|yolo11[nsmlx]|yolo12[nsmlx]|yolo26[nsmlx])\.pt")
RELEASES = "https://github.com/ultralytics/assets/releases/download/v8.4.0/"
CLIP = "clip"
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# What a model of transformers is read from; no code, no pickles.
HUB_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")

Sha256 = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
Bytes = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Weights:
    """Weights that a command wants; the fields are explained in `weights.toml`."""

    name: str
    what: str
    licence: str
    needed_by: str
    source: str
    owner: Literal["reidkit", "torch", "clip", "hub", "package"] = "reidkit"
    size: Bytes = 0
    about: Bytes = 0
    sha256: Sha256 = ""
    default: bool = False
    repository: str = ""
    revision: str = ""

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.source.rsplit("/", 1)[-1]

    @property
    def link(self) -> str:
        """Where the weights come from, as people are told: an address, or reidkit itself."""
        return {"hub": f"https://huggingface.co/{self.source}", "package": "reidkit"}.get(self.owner, self.source)


@dataclass(frozen=True)
class Table:
    """What `weights.toml` holds."""

    weights: tuple[Weights, ...]


@dataclass(frozen=True)
class Fetched:
    """What the record keeps of a file that `reidkit weights get` fetched, under its sha256."""

    name: str
    source: str
    size: Bytes
    time: str


@dataclass(frozen=True)
class Record:
    """`fetched.json` in our cache: sha256 -> file."""

    files: dict[Annotated[str, Meta(pattern="^[0-9a-f]{64}$")], Fetched]


@cache
def table() -> dict[str, Weights]:
    """Every entry of `weights.toml` by its name, in the file's order."""
    entries = read_toml(PACKAGE / "training" / "weights.toml", Table, "Install reidkit again.").weights
    return {entry.name: entry for entry in entries}


def known(name: str) -> Weights | None:
    """The entry of that name; any detector that Ultralytics releases has one. None where the name is not known."""
    if name in table() or not RELEASED.fullmatch(name):
        return table().get(name)
    what = f"detector of people, {name.removesuffix('.pt')}"
    return Weights(name, what, "AGPL-3.0", f"build-dataset --detector {name}", RELEASES + name)


def wanted(name: str) -> Weights:
    """The entry of that name.

    Raises:
        UsageError: there is none.
    """
    entry = known(name)
    if entry is None:
        names = [entry.name for entry in table().values() if entry.owner != "package"]
        raise UsageError(
            f"Unknown weights '{name}'. Near to it: {', '.join(nearest(name, names))}. `reidkit weights` lists all."
        )
    return entry


def cache_folder() -> Path:
    """Our own cache: $REIDKIT_WEIGHTS, or ~/.cache/reidkit/weights."""
    return Path(os.environ.get("REIDKIT_WEIGHTS") or "~/.cache/reidkit/weights").expanduser()


def torch_folder() -> Path:
    """Where `torch.hub` keeps files of weights, by its own rule, without importing torch."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return Path(home, "hub", "checkpoints").expanduser()


def clip_folder() -> Path:
    """Where open_clip keeps files that it fetches by their address."""
    return Path.home() / ".cache" / "clip"


def hub_folder() -> Path:
    """The Hugging Face cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def places(entry: Weights) -> tuple[Path, ...]:
    """Where a file is looked for, in this order; the last one is where `reidkit weights get` puts it."""
    if entry.owner == "package":
        return (PACKAGE / entry.source,)
    if entry.owner == "torch":
        return cache_folder() / entry.file, torch_folder() / entry.file
    if entry.owner == "clip":
        return (clip_folder() / entry.file,)
    if entry.owner == "hub":
        return (hub_folder() / f"models--{entry.source.replace('/', '--')}",)
    return (cache_folder() / entry.file,)


def find(entry: Weights) -> Path | None:
    """The file, or of the owner "hub" the folder, on this machine; None where it is not here, or not whole."""
    if entry.owner == "hub":
        return _snapshot(entry)
    if entry.repository and (path := in_hub(entry.repository, HUB_FILES)):
        return path
    return next((path for path in places(entry) if path.is_file()), None)


def in_hub(repository: str, files: tuple[str, ...]) -> Path | None:
    """The first of a repository's files that the Hugging Face cache holds."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        path = try_to_load_from_cache(repository, file, cache_dir=hub_folder())
        if isinstance(path, str):
            return Path(path)
    return None


def _snapshot(entry: Weights) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            entry.source,
            revision=entry.revision or None,
            cache_dir=hub_folder(),
            allow_patterns=list(HUB_PATTERNS),
            local_files_only=True,
        )
    except OSError:  # absent or incomplete
        return None
    return Path(folder)


def file_of(name: str, otherwise: str) -> Path:
    """The file behind a name of the table.

    Raises:
        MissingWeights: it is not on this machine.
        UsageError: the table has no such name.
    """
    path = find(wanted(name))
    if path is None:
        raise missing(name, otherwise=otherwise)
    return path


def at_hand(path: Path, what: str, otherwise: str) -> Path:
    """The file that a path or a bare name stands for: as given, or of that name in our cache.

    Args:
        what: "detector", for the sentence. otherwise: as of `missing`.

    Raises:
        MissingWeights: it is a bare name of the table, and not here.
        UsageError: there is no such file.
    """
    if path.is_file():
        return path
    if path.name == str(path):
        if (cached := cache_folder() / path).is_file():
            return cached
        if known(path.name):
            raise missing(path.name, otherwise=otherwise)
    raise UsageError(
        f"There is no {what} file '{path}'. `reidkit weights` lists those that can be fetched; or {otherwise}."
    )


def missing(*names: str, otherwise: str = "") -> MissingWeights:
    """The error of a command that lacks weights: it names the command that fetches them.

    Args:
        otherwise: what else can be done, as half a sentence: "give a file with --detector PATH.onnx".
    """
    entries = [wanted(name) for name in names]
    which = " and ".join(described(entry) for entry in entries)
    do = f"`reidkit weights get {' '.join(names)}` fetches them"
    return MissingWeights(
        f"The weights {which} are not on this machine. {do}{f'; or {otherwise}' if otherwise else ''}.", names
    )


def described(entry: Weights) -> str:
    """`'yolo11m.pt' (40.7 MB, AGPL-3.0)`."""
    return f"'{entry.name}' ({size_text(entry)}, {entry.licence})"


def size_text(entry: Weights, path: Path | None = None) -> str:
    """`40.7 MB`; `about 12 GB` where only that is known. A file that ships is measured."""
    if entry.owner == "package" and path:
        return f"{path.stat().st_size / 1e6:.1f} MB"
    if entry.size:
        return f"{entry.size / 1e6:.1f} MB"
    if not entry.about:
        return "size unknown"
    return f"about {entry.about / 1e9:.0f} GB" if entry.about >= 1e9 else f"about {entry.about / 1e6:.0f} MB"


def together(*loads: Callable[[], Any]) -> list[Any]:
    """What each call returns. Where weights are missing to several, one error names all of them.

    Raises:
        MissingWeights: some call lacked weights; the other calls were made, too.
    """
    found, lacking = [], []
    for load in loads:
        try:
            found.append(load())
        except MissingWeights as error:
            lacking.append(error)
    if len(lacking) > 1:
        raise missing(*(name for error in lacking for name in error.names))
    if lacking:
        raise lacking[0]
    return found


def vouched(sha256: str) -> bool:
    """Whether a file with these bytes is a release that the table knows, or was fetched by `reidkit weights get`."""
    return sha256 in {entry.sha256 for entry in table().values()} - {""} or sha256 in recorded()


def recorded() -> dict[str, Fetched]:
    """sha256 -> what was fetched.

    Raises:
        UsageError: the record is damaged.
    """
    path = cache_folder() / RECORD
    if not path.exists():
        return {}
    fix = "Delete it; `reidkit weights get NAME` then checks what is there and records it again."
    return read_json(path, Record, fix).files


def record(entry: Weights, sha256: str, source: str, size: int) -> None:
    """Notes that a file with these bytes was fetched.

    Raises:
        UsageError: the record is damaged.
        ReidkitError: it can't be written.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path = cache_folder() / RECORD
    with exclusive(path.with_name(".record.lock"), f"Another process writes '{path}'; waiting for it.", wait=True):
        files = recorded() | {sha256: Fetched(entry.name, source, size, now)}
        write_json(path, {"files": {digest: asdict(fetched) for digest, fetched in files.items()}})
