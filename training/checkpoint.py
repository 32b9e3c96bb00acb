"""Weights in and out.

    save_weights(Path("model.safetensors"), model)
    report = load_into(model, convert(read_weights("TF-CLIP_MARS.pth")), source="TF-CLIP_MARS.pth", strict=False)

Nothing read here can execute: safetensors, or pickles restricted to tensors.
"""

import codecs
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy._core import multiarray
from safetensors import SafetensorError
from torch import Tensor, nn

from ..datasets import UsageError
from ..datasets.files import atomic_path

PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar")
# where released files keep their state dict, when not at the top
NESTED = ("state_dict", "model_state_dict", "model", "net")
# beside tensors, what the CNN papers' released files hold: a numpy number (their best rank-1). None of these runs code.
HARMLESS = [
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray.scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float16", "float32", "float64", "int32", "int64")),
    codecs.encode,
]

_read: ContextVar[list[Path] | None] = ContextVar("files of weights that were read", default=None)


@contextmanager
def files_read() -> Iterator[list[Path]]:
    """While it is open, the list that it gives grows by each file that weights are read from, in their order."""
    found: list[Path] = []
    token = _read.set(found)
    try:
        yield found
    finally:
        _read.reset(token)


def note_file(path: Path) -> None:
    """Says that weights are read from a file: for whoever reads one without `read_weights`."""
    found = _read.get()
    if found is not None and path not in found:
        found.append(path)


@dataclass(frozen=True)
class LoadReport:
    """The names that found no partner: `missing` in the weights, `unexpected` in the model."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Name -> tensor on the CPU, from `.safetensors` or a PyTorch file; `module.` prefixes are cut off.

    Raises:
        UsageError: absent, cut, of another kind, or a pickle that holds more than tensors (which is not executed).
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There are no weights at '{path}'. Give the path of a .safetensors or .pth file.")
    note_file(path)
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise UsageError(f"'{path}' is no whole safetensors file ({error}). Fetch or train it again.") from None
    if path.suffix not in PICKLED:
        raise UsageError(f"'{path}' is no weights file by its name. Give one that ends in .safetensors or .pth.")
    try:
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UsageError(
            f"'{path}' holds more than tensors, and unpickling it could run code, so it was refused. "
            "Save its state dict alone (torch.save(model.state_dict(), …)) where you trust it, and give that file."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, AttributeError, KeyError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UsageError(f"'{path}' is no whole PyTorch file ({reason}). Fetch it again.") from None
    for name in NESTED:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise UsageError(f"'{path}' holds no state dict (names with tensors). Save model.state_dict() and give that.")
    return {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}


def load_into(module: nn.Module, weights: Mapping[str, Tensor], source: str, strict: bool = True) -> LoadReport:
    """Copies `weights` into the module's parameters and buffers of the same names.

    A buffer that is empty as built (its size is known only after `prepare`) takes the shape found in `weights`.

    Raises:
        UsageError: a tensor of another shape (named, with both shapes), or, when `strict`, names without a partner.
    """
    report = match(module, weights, source, strict)
    own = module.state_dict()
    module.load_state_dict({k: v for k, v in weights.items() if k in own}, strict=False)
    return report


def match(module: nn.Module, weights: Mapping[str, Tensor], source: str, strict: bool = True) -> LoadReport:
    """Whether `weights` fit into the module, as in `load_into`, without copying them: the module may be a meta one."""
    for prefix, child in module.named_modules():
        for name, buffer in child._buffers.items():
            full = f"{prefix}.{name}".lstrip(".")
            if full in weights and (buffer is None or (buffer.numel() == 0 and buffer.shape != weights[full].shape)):
                device = next((p.device for p in module.parameters()), torch.device("cpu"))
                child._buffers[name] = torch.empty_like(weights[full], device=device)
    own = module.state_dict()
    for name, tensor in weights.items():
        if name in own and own[name].shape != tensor.shape:
            raise UsageError(
                f"'{name}' in '{source}' has shape {list(tensor.shape)} where the model has {list(own[name].shape)}. "
                "Give weights of the same model, size and number of training identities."
            )
    report = LoadReport(
        missing=tuple(sorted(n for n in own if n not in weights and not n.endswith("num_batches_tracked"))),
        unexpected=tuple(sorted(n for n in weights if n not in own)),
    )
    if strict and (report.missing or report.unexpected):
        raise UsageError(
            f"'{source}' is of another model: {_some('absent', report.missing)}, "
            f"{_some('not known', report.unexpected)}. Give weights of this model."
        )
    if not any(n in own for n in weights):
        raise UsageError(
            f"No name in '{source}' is one of the model's ({_some('for example', tuple(weights))}). "
            "Give weights of this model."
        )
    return report


def _some(word: str, names: tuple[str, ...]) -> str:
    listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{word} {len(names)}" + (f" ({listed})" if names else "")


def save_weights(path: Path, module: nn.Module) -> None:
    """Writes the parameters and buffers as safetensors, whole or not at all."""
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"format": "pt"})
