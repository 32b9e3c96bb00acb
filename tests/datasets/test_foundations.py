"""Cores, locks, prefetching and printable text: small parts that every floor uses."""

import re
import subprocess
import sys
import threading

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets import progress as progress_module
from reidkit.datasets.cores import usable_cores
from reidkit.datasets.locks import exclusive
from reidkit.datasets.prefetch import prefetch, prefetch_map
from reidkit.datasets.text import printable


def test_cores_where_the_system_knows_no_affinity(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert usable_cores() >= 1
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usable_cores() == 1


def test_a_second_process_is_refused_with_the_sentence(tmp_path):
    code = (
        "import sys; from pathlib import Path; from reidkit.datasets.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'busy'): print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "new" / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="busy"), exclusive(path, "busy"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with exclusive(path, "busy"):  # the killed process' lock is gone
        pass


def test_a_second_holder_can_wait(tmp_path, capsys):
    path, order = tmp_path / ".lock", []

    def second():
        with exclusive(path, "busy, waiting", wait=True):
            order.append("second")

    with exclusive(path, "busy"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
    assert capsys.readouterr().err == "busy, waiting\n"


def test_progress_in_bytes_is_shown_in_megabytes(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "PLAIN_LINE_SECONDS", 0.0)
    with progress_module.progress("fetch", total=10_000_000, unit="bytes") as advance:
        advance(2_500_000)
    assert re.fullmatch(r"fetch: 2\.5/10\.0 MB, [\d.]+ MB/s, \d+ s left\n", capsys.readouterr().err)
    with progress_module.progress("fetch", total=None, unit="bytes") as advance:
        advance(2_500_000)
    assert capsys.readouterr().err.startswith("fetch: 2.5/? MB, ")


def test_prefetch_keeps_order_and_raises_what_making_raises():
    assert list(prefetch(iter(range(50)), depth=3)) == list(range(50))

    def broken():
        yield 1
        raise ValueError("frame 2")

    made = prefetch(broken())
    assert next(made) == 1
    with pytest.raises(ValueError, match="frame 2"):
        next(made)


def test_prefetch_ends_its_thread_when_left_early():
    before = threading.active_count()
    made = prefetch(iter(int, 1))  # endless
    assert next(made) == 0
    made.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetch_map_keeps_order(workers):
    assert list(prefetch_map(lambda n: n * n, range(20), workers)) == [n * n for n in range(20)]


def test_printable():
    assert printable("plain, é, ‘typographic’") == "plain, é, ‘typographic’"
    assert printable("a\x1b[31m\n\u2028\ud800") == "a\\x1b[31m\\n\\u2028\\ud800"
