"""One process, or several under `torchrun --nproc_per_node=4 -m reidkit run …`.

here = start("cuda")
loader = TrainLoader(…, rank=here.rank, world=here.world)
"""

import datetime
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist

from ..datasets.devices import pick_device


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

    def gather(self, value: object) -> list[object]:
        """Every rank's value, in rank order, on every rank. Trusted: it comes from this run's own processes."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        dist.all_gather_object(values, value)
        return values


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
        # long, because rank 0 alone scores while the others wait
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
