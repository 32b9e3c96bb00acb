"""`reidkit build-dataset` killed with SIGKILL over and over and run again: the same bytes as of a build left alone."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reidkit.simulator.simulate import Settings, simulate

KILLS = 20


def start(raw: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "reidkit", "build-dataset", raw, "-o", out, "--workers", "1"]
    models = ["--name", "killed", "--detector", "simulated", "--embedder", "simulated"]
    return subprocess.Popen([*map(str, command), *models], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def files(out: Path) -> set[Path]:
    return {path for path in out.rglob("*") if path.is_file()} if out.exists() else set()


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in files(out) if ".work" not in path.parts}


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(tmp_path):
    raw, whole, out = (tmp_path / name for name in ("raw", "whole", "killed"))
    simulate(raw, Settings("sports", 5, 2, 2, 4.0, 15.0, 480, 270, 77), jobs=1)
    process = start(raw, whole)
    assert process.wait() == 0, process.stderr.read() if process.stderr else ""
    rng, kills, finished, moments = random.Random(5), 0, 0, set()
    while kills < KILLS:
        process, before = start(raw, out), files(out)
        # From one new file, or a few, to any moment before the next ones: while a stage works, or writes.
        wanted = rng.randint(1, 4)
        while process.poll() is None and len(files(out) - before) < wanted:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        moments |= {path.name.split(".")[0] for path in files(out) - before}
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            kills += 1
        elif process.returncode == 0:
            finished += 1
            assert contents(out) == contents(whole)
            out = tmp_path / f"killed-{finished}"
        else:
            raise AssertionError(process.stderr.read() if process.stderr else "")
    process = start(raw, out)
    assert process.wait() == 0
    assert contents(out) == contents(whole)
    assert len(moments) > 3, moments
