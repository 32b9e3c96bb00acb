"""The most memory that tensors took at once: on the CPU what `torch.cuda.max_memory_allocated` says on a GPU.

    with TensorMemory(model) as memory:
        model.embed(clips, cameras)
    memory.peak        # bytes, the model's own included

A process's resident size says less: it keeps what an earlier model took, and never counts that again.
"""

import weakref

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class TensorMemory(TorchDispatchMode):
    """Counts storages from the operation that makes them until nothing refers to them; backward passes too.

    What a kernel takes and frees within one operation is not seen, nor are tensors that were there before, other than
    those of `model` and `tensors`.

    Attributes:
        now, peak: bytes.
    """

    def __init__(self, model: nn.Module | None = None, *tensors: Tensor) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, int] = {}
        own = [*model.parameters(), *model.buffers()] if model is not None else []
        for tensor in (*own, *tensors):
            self._watch(tensor)

    def _watch(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        before = self._alive.get(key)
        if before is None:
            weakref.finalize(storage, self._drop, key).atexit = False
        if before is None or size > before:  # an operation may enlarge the tensor it was given
            self.now += size - (before or 0)
            self._alive[key] = size
            self.peak = max(self.peak, self.now)
        return tensor

    def _drop(self, key: int) -> None:
        self.now -= self._alive.pop(key, 0)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._watch, result)
        return result
