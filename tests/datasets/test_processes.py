"""Processes beside each other: real ones, really killed. Each writes where the test reads until the last has ended."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from reidkit.datasets import ReidkitError
from reidkit.datasets.processes import run_in_processes

PATIENCE = 120  # seconds after which a test gives up; none waits that long for what it expects

# A job that ends and one that runs for ever, in two processes that hold the script's stdout open as long as they live.
SCRIPT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from reidkit.datasets.processes import run_in_processes

    def job(folder, number):
        (Path(folder) / f"started-{number}").touch()
        while number:
            time.sleep(0.01)

    if __name__ == "__main__":
        try:
            run_in_processes(job, [(sys.argv[1], number) for number in range(2)], workers=2)
        except KeyboardInterrupt:
            sys.exit(130)
    """
)


@pytest.fixture
def endless(tmp_path):
    """The script with one process idle and one at work, in a process group of its own as a shell gives it one."""
    script = tmp_path / "endless.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    while len(list(tmp_path.glob("started-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield process
    with contextlib.suppress(ProcessLookupError):  # nobody is left, as it should be
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_workers_end_when_the_command_is_killed(endless):
    endless.kill()
    # The end of the file comes when no process holds it open: neither the script nor a worker.
    endless.communicate(timeout=PATIENCE)
    assert endless.returncode == -signal.SIGKILL


def test_an_interrupt_ends_everything_without_a_word_of_the_workers(endless):
    os.killpg(endless.pid, signal.SIGINT)
    out, err = endless.communicate(timeout=PATIENCE)
    assert endless.returncode == 130
    assert (out, err) == (b"", b"")


def test_jobs_are_done(tmp_path):
    run_in_processes(os.mkdir, [(tmp_path / str(number),) for number in range(5)], workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3", "4"]


def test_the_error_of_a_job_is_raised(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        run_in_processes(os.rmdir, [(tmp_path / "absent",), (tmp_path,)], workers=2)


def test_a_process_that_is_ended_from_outside_is_told(tmp_path):
    with pytest.raises(ReidkitError, match=r"ended from outside.*fewer processes"):
        run_in_processes(os._exit, [(1,)], workers=1)
