"""The authors' names of weights to ours, for each model's `convert`.

    weights = rename(read_weights("theirs.pth"), {"base.": "backbone.", "bottleneck.": "neck.norm."})

A model's `convert` also brings kernels to our shapes where they differ.
"""

from collections.abc import Mapping

from torch import Tensor


def rename(state: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    """Renames by the longest prefix that matches; a name that none matches stays, so that it is reported and not lost.

    Args:
        state: name -> tensor, as the authors' file has them.
        prefixes: their prefix -> ours.

    >>> list(rename({"base.conv1.weight": Tensor(), "head.bias": Tensor()}, {"base.": "backbone."}))
    ['backbone.conv1.weight', 'head.bias']
    """
    ordered = sorted(prefixes, key=len, reverse=True)
    renamed = {}
    for name, tensor in state.items():
        prefix = next((p for p in ordered if name.startswith(p)), None)
        renamed[name if prefix is None else prefixes[prefix] + name.removeprefix(prefix)] = tensor
    return renamed
