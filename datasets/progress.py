"""Progress of long work: a bar on a terminal, one plain line every ten seconds elsewhere.

    with progress("detect", total=frames, unit="frames") as advance:
        for frame in video:
            ...
            advance(1)

Everything goes to stderr, so that stdout stays clean for `--json`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .text import printable

console = Console(stderr=True, highlight=False)
PLAIN_LINE_SECONDS = 10.0
_bars = True


def plain_lines() -> None:
    """Lines in place of bars from here on: for a process beside others, whose bars would overwrite each other."""
    global _bars
    _bars = False


@contextmanager
def progress(title: str, total: int | None, unit: str = "items") -> Iterator[Callable[..., None]]:
    """Yields `advance(n=1, note="")`; `total` None where the amount of work is not known.

    Args:
        unit: what is counted, in the plural; "bytes" are counted one by one and shown as MB.
    """
    title, started = printable(title), time.monotonic()
    in_bytes = unit == "bytes"
    size, unit = (1e6, "MB") if in_bytes else (1, unit)
    if _bars and console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn() if in_bytes else MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} {task.fields[note]}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=total, rate="", note="")
            done = 0

            def advance(n: int = 1, note: str = "") -> None:
                nonlocal done
                done += n
                rate = f"{done / size / max(time.monotonic() - started, 1e-9):.1f} {unit}/s"
                bar.update(task, advance=n, rate=rate, note=printable(note))

            yield advance
        return

    done, last = 0, started

    def advance_plain(n: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= PLAIN_LINE_SECONDS:
            last = now
            rate = done / max(now - started, 1e-9)
            left = f", {(total - done) / max(rate, 1e-9):.0f} s left" if total else ""
            count, of = (f"{n / size:.1f}" if in_bytes else str(n) for n in (done, total or 0))
            so_far = f"{count}/{of if total else '?'} {unit}, {rate / size:.1f} {unit}/s{left}"
            print(f"{title}: {so_far} {printable(note)}".rstrip(), file=sys.stderr)

    yield advance_plain


def say(message: str) -> None:
    """One line for the user, on stderr."""
    console.print(printable(message), soft_wrap=True, markup=False)
