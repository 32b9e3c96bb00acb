"""The torch device behind a name that a user gave: `pick_device("auto")`."""

from typing import TYPE_CHECKING

from .errors import UsageError

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> "torch.device":
    """`auto`, `cpu`, `cuda`, `cuda:1`.

    Raises:
        UsageError: it is no such name, or the machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"'{name}' is no device. Use auto, cpu, cuda, or cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"There is no '{name}' here: {torch.cuda.device_count()} GPUs are seen. Use --device cpu.")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"'{name}' is no device that reidkit runs on. Use auto, cpu, cuda, or cuda:N.")
    return device
