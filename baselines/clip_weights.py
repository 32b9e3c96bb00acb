"""CLIP's weights: where they are on this machine, and how they are read without executing anything of them.

    weights = read_weights("ViT-B-16-quickgelu", "openai")        # open_clip's tag, found in its cache
    weights = read_weights("ViT-B-16-quickgelu", "weights/ViT-B-16.pt")

Nothing is fetched here. A tag whose file is not in a cache is an error that names the command which fetches it.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from ..datasets import UsageError
from ..datasets.errors import choices
from ..datasets.files import sha256_file
from ..training import weights
from ..training.checkpoint import note_file

# trained by benchmarks/train_tiny_clip.py; of the token embeddings it holds some rows, and says which
SIMULATED = Path(__file__).parent / "assets" / "tiny_clip.safetensors"
EMBEDDING, ROWS = "token_embedding.weight", "token_embedding.rows"
NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}  # scalars that OpenAI's archive carries as entries


def read_weights(name: str, pretrained: str) -> dict[str, Tensor]:
    """State dict of a CLIP model in open_clip's names, float32, on the CPU.

    Args:
        name: open_clip's model name, or "tiny".
        pretrained: a tag of open_clip for that model ("openai"), "simulated" for the tiny one, or the path of a
            .safetensors, .pt, .pth or .bin file.

    Raises:
        UsageError: unknown tag, absent or unreadable file, or a file that would have to be unpickled.
    """
    path = _find(name, pretrained)
    note_file(path)
    state = _read_file(path)
    state = {key.removeprefix("module.").removeprefix("text."): value for key, value in state.items()}
    return {key: value.float() for key, value in state.items() if key not in NOT_WEIGHTS}


def _find(name: str, pretrained: str) -> Path:
    if Path(pretrained).is_file():
        return Path(pretrained)
    if "/" in pretrained or Path(pretrained).suffix in {".safetensors", ".pt", ".pth", ".bin"}:
        raise UsageError(f"There is no file '{pretrained}'. Give the path of CLIP weights, or a tag such as 'openai'.")
    if name == "tiny":
        if pretrained != "simulated":
            raise UsageError(
                f"There are no weights '{pretrained}' for the tiny CLIP; choose simulated, or train without "
                "(--from-scratch)."
            )
        return SIMULATED
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        raise UsageError(choices(pretrained, tags, f"weights of {name}"))
    entry = open_clip.get_pretrained_cfg(name, pretrained)
    found = _cached(entry)
    if found is None:
        otherwise = "give a file with --set pretrained=FILE.safetensors, or train without them (--from-scratch)"
        if entry.get("url") == weights.wanted(weights.CLIP).source:
            raise weights.missing(weights.CLIP, otherwise=otherwise)
        fetch = f"import open_clip; open_clip.create_model('{name}', pretrained='{pretrained}')"
        raise UsageError(
            f"The weights '{pretrained}' of {name} are not on this machine: fetch them once with "
            f'`python -c "{fetch}"`, or {otherwise}.'
        )
    return found


def _cached(entry: dict) -> Path | None:
    """The file of an entry of open_clip's table in the hub's cache or, from older versions, in ~/.cache/clip."""
    if entry.get("hf_hub"):
        repository, _, file = entry["hf_hub"].rpartition("/")
        if found := weights.in_hub(repository, (file,) if file else weights.HUB_FILES):
            return found
    path = weights.clip_folder() / entry.get("url", "").rsplit("/", 1)[-1]
    return path if path.is_file() else None


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except Exception as error:
            raise UsageError(f"'{path}' is no whole safetensors file ({error}); fetch it again.") from None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*TorchScript archive")  # dealt with below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "TorchScript" in str(error):
            return _read_script(path)
        raise UsageError(
            f"'{path}' cannot be read as plain tensors and reidkit does not unpickle; save its state dict as "
            f".safetensors ({type(error).__name__})."
        ) from None
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UsageError(f"'{path}' holds no state dict; save the model's state dict as .safetensors.")
    return content


def _read_script(path: Path) -> dict[str, Tensor]:
    """OpenAI's own files are TorchScript programs: read only where the sha256 is the one in OpenAI's address."""
    import open_clip

    digest = sha256_file(path)
    urls = [open_clip.get_pretrained_cfg(name, tag).get("url", "") for name, tag in open_clip.list_pretrained()]
    if not any(digest in url for url in urls):
        raise UsageError(
            f"'{path}' is a TorchScript program and not one that OpenAI released (sha256 {digest[:12]}…); "
            "save its state dict as .safetensors."
        )
    return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
