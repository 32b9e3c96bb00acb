"""Runs reidkit's own command line, as a user does.

    built = reidkit("build-dataset", raw, "-o", out, "--json")

A command that fails ends the benchmark, with all that the command said.
"""

import os
import subprocess
import sys

LOSSES = 3  # exit code: done, and something has been counted as lost


def reidkit(*arguments: object, threads: int | None = None, losses: bool = False) -> str:
    """What the command printed on stdout; SystemExit with all it said when it fails.

    Args:
        threads: OMP_NUM_THREADS; None leaves it as it is.
        losses: exit code `LOSSES` is no failure.
    """
    environment = dict(os.environ) | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    command = [sys.executable, "-m", "reidkit", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode and not (losses and done.returncode == LOSSES):
        raise SystemExit(f"{' '.join(command[2:])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
