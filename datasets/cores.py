"""How many processors this process may use, `usable_cores()`, and how many threads it shall, `threads()`."""

import os


def usable_cores() -> int:
    """Processors that this process may run on, at least 1.

    Linux knows a process' own set (`taskset`, a container's); macOS and Windows know the machine's only.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def threads() -> int:
    """OMP_NUM_THREADS where it is set, otherwise the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(wanted)) if wanted.isdecimal() else usable_cores()
