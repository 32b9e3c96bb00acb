"""One process, or several under `torchrun --nproc_per_node=4 -m reidkit run …`.

    here = start("cuda")
    loader = TrainLoader(dataset, spec, …, rank=here.rank, world=here.world)
    if here.first: ...                               # writes files, speaks

Every process trains on batches of its own, extracts a share of the test's features, and ranks all of them.
"""

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..datasets.devices import pick_device

T = TypeVar("T")


@dataclass(frozen=True)
class Parallel:
    """This process among `world`; rank 0 writes files and speaks."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        """Waits until every process is here."""
        if self.world > 1:
            dist.barrier()

    def gather(self, value: T) -> list[T]:
        """Every rank's value, in rank order, on every rank. Trusted: it comes from this run's own processes."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def spread(self, tensors: Iterable[torch.Tensor]) -> None:
        """Gives every process the first one's values of the tensors."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def start(device: str = "auto") -> Parallel:
    """Joins the process group where torchrun made one; alone otherwise."""
    chosen = pick_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Parallel(chosen)
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if chosen.type == "cuda":
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        # long: at a barrier the fast processes wait for the one that reads its share of a test from a cold disk
        dist.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo",
            timeout=datetime.timedelta(hours=2),
            rank=rank,
            world_size=world,
        )
    return Parallel(chosen, rank, world)


def stop() -> None:
    """Leaves the process group, where there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
