"""The captioner of a kind: `make_captioner("endpoint", dataset, url=…, model=…, …)`."""

from collections.abc import Callable
from pathlib import Path

from ...datasets import UsageError
from ...datasets.errors import choices
from ...datasets.schema import read_bytes
from .captioner import Captioner

PROMPT = Path(__file__).with_name("prompt.txt")


def make_captioner(
    kind: str,
    dataset: Path,
    *,
    prompt: Path | None,
    attributes: Path | None,
    vocabulary: Path | None,
    weights: str,
    url: str | None,
    model: str | None,
    concurrency: int,
    timeout: float,
    batch: int,
    device: str,
    download: bool,
    one_sheet: bool | None,
) -> Captioner:
    """The captioner of a kind.

    Raises:
        UsageError: unknown kind, or what the kind needs is missing.
    """
    if kind == "template":
        from ...datasets.attributes import read_attributes
        from ...datasets.format import ATTRIBUTES
        from ...datasets.own import reviewed_tables
        from .template import Template

        fix = "Give a table with --attributes FILE.csv, or choose another --captioner."
        words = read_attributes(attributes or dataset / ATTRIBUTES, fix)
        return Template(words, dict(reviewed_tables(dataset)[0].select("id", "identity").iter_rows()))
    if kind == "attributes":
        from .clip_encoder import SIMULATED, encoders
        from .zero_shot import SIMULATED_VOCABULARY, VOCABULARY, ZeroShot

        images, texts = encoders(weights, device)
        ours = SIMULATED_VOCABULARY if weights == SIMULATED else VOCABULARY
        return ZeroShot(images, texts, f"clip {weights}", vocabulary or ours)
    if kind == "endpoint":
        from .endpoint import Endpoint

        if not url or not model:
            raise UsageError("The captioner 'endpoint' needs --url http://HOST:PORT/v1 and --model NAME.")
        return Endpoint(url, model, _read_prompt(prompt or PROMPT), concurrency, timeout, one_sheet=bool(one_sheet))
    if kind == "transformers":
        from .local import DEFAULT_MODEL, LocalModel

        where = device or _default_device()
        sheet = True if one_sheet is None else one_sheet
        return LocalModel(model or DEFAULT_MODEL, _read_prompt(prompt or PROMPT), where, batch, sheet, download)
    raise UsageError(choices(kind, ("template", "attributes", "endpoint", "transformers"), "captioner"))


def _read_prompt(path: Path) -> str:
    try:
        text = read_bytes(path, "Give another --prompt.").decode().strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"The prompt '{path}' is no UTF-8 text: {error}.") from None
    if not text:
        raise UsageError(f"The prompt '{path}' is empty.")
    return text


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def clip_tokens() -> Callable[[str], int]:
    """CLIP's own token count, start and end not counted."""
    import open_clip

    encode = open_clip.SimpleTokenizer().encode
    return lambda text: len(encode(text))
