"""How fast the review page is, measured in a headless browser; writes benchmarks/results/review_page.md.

    python benchmarks/review_page.py                       # a made-up dataset of 5,000 tracklets of 250 people
    python benchmarks/review_page.py --tracklets 500 --rounds 5
    python benchmarks/review_page.py --dataset DIR         # a copy of a dataset of yours

Each step is timed from the key to the repaint: the decision is on the server's disk, and the next question's pictures'
places are painted. Decisions a minute are those that the page would allow somebody who needs no time to think. The
made-up pictures are noise, 60 x 120 pixels; who they are of doesn't matter here.
"""

import argparse
import io
import json
import multiprocessing
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from machine import describe
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from reidkit.datasets.format import (
    CROPS,
    FRAME_COLUMNS,
    FRAMES,
    IDENTITIES,
    IDENTITY_COLUMNS,
    MANIFEST,
    TRACKLET_COLUMNS,
    TRACKLETS,
)
from reidkit.toolkit.review.server import serve
from reidkit.toolkit.review.session import open_session

RESULTS = Path(__file__).resolve().parent / "results" / "review_page.md"
PEOPLE, CAMERAS, CROPS_EACH, SECONDS = 250, 8, 12, 5400.0
SWITCHES = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TEXT = """# The review page's speed

`python benchmarks/review_page.py`: {what}; headless {browser}; milliseconds, {rounds} rounds of each step.

| step | median | slowest |
|---|---:|---:|
{rows}

A decision is timed from the key to the repaint with the next question, its line on disk before. At the median of all
answers the page allows {allowed} decisions a minute to somebody who needs no time to think.

Machine of the last run: {machine}.
"""


def write_made_up(root: Path, count: int, seed: int = 0) -> None:
    """A dataset of `count` tracklets in two events; no two of one identity are in one camera at one time."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(64):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 4, 3), dtype=np.uint8)).resize((60, 120)).save(buffer, "JPEG")
        pictures.append(buffer.getvalue())
    ends = np.cumsum([len(one) for one in pictures])
    (root / CROPS).mkdir()
    (root / CROPS / "all.tar").write_bytes(b"".join(pictures))
    tracklets, frames = [], []
    for n in range(count):
        identity, turn = n % PEOPLE, n // PEOPLE
        start = turn * SECONDS / (count / PEOPLE) + rng.uniform(0, 5)
        row = dict.fromkeys(TRACKLET_COLUMNS)
        row |= {"id": f"{n:05d}", "identity": identity + 1, "kind": "person" if n % 9 else "junk", "split": "train"}
        row |= {"camera": f"camera{(identity + turn) % CAMERAS}", "event": f"event{identity % 2}", "role": "train"}
        row |= {"start": start, "end": start + 8.0, "frames": CROPS_EACH, "quality": 0.5, "confidence": 0.9}
        row["identity"] = -1 if row["kind"] == "junk" else row["identity"]
        tracklets.append(row)
        for k in range(CROPS_EACH):
            at = int(rng.integers(len(pictures)))
            frame = dict.fromkeys(FRAME_COLUMNS, 0.0)
            frame |= {"tracklet": row["id"], "frame": int(25 * start) + 17 * k, "time": start + k * 8 / CROPS_EACH}
            frame |= {"shard": f"{CROPS}/all.tar", "offset": int(ends[at]) - len(pictures[at])}
            frames.append(frame | {"length": len(pictures[at]), "x2": 60.0, "y2": 120.0})
    sure = [(i, f"event{(i - 1) % 2}", 0.9, 0.6, (i + 1) % PEOPLE + 1, 0.5) for i in range(1, PEOPLE + 1)]
    pl.DataFrame(tracklets, schema=TRACKLET_COLUMNS).write_parquet(root / TRACKLETS)
    pl.DataFrame(frames, schema=FRAME_COLUMNS).write_parquet(root / FRAMES)
    pl.DataFrame(sure, schema=IDENTITY_COLUMNS, orient="row").write_parquet(root / IDENTITIES)
    (root / MANIFEST).write_text(json.dumps({"format": 1, "name": "made-up"}))


def _serve(root: Path, sender) -> None:
    with open_session(root) as session:
        serve(session, port=0, by="benchmark", ready=sender.send)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address of the review, which a process of its own serves."""
    processes = multiprocessing.get_context("spawn")
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=_serve, args=(root, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield receiver.recv()
    finally:
        process.kill()
        process.join()


def first_sheet(page: Page, address: str) -> float:
    """Milliseconds from opening the address to the first card's picture."""
    page.goto(address, wait_until="commit")
    page.wait_for_selector(".card")
    return page.evaluate(
        """async () => {
            const image = document.querySelector('.card img');
            await image.decode();
            await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
            return performance.now();
        }"""
    )


def timed(page: Page, work: str) -> float:
    """Milliseconds from `work` (JavaScript) until the sheet has other cards, and they are painted."""
    return page.evaluate(
        f"""async () => {{
            const sheet = document.querySelector('#sheet');
            const changed = new Promise(done => new MutationObserver(done).observe(sheet, {{childList: true}}));
            const began = performance.now();
            {work};
            await changed;
            await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
            return performance.now() - began;
        }}"""
    )


def decision(page: Page, key: str) -> float:
    """Milliseconds from the key to the repaint, as the page itself measures it."""
    seen = page.evaluate("performance.getEntriesByName('decision').length")
    page.keyboard.press(key)
    for _ in range(2000):
        times = page.evaluate("performance.getEntriesByName('decision').map(entry => entry.duration)")
        if len(times) > seen:
            return times[-1]
        page.wait_for_timeout(5)
    raise SystemExit(f"The key {key} decided nothing: {page.locator('#said').inner_text()}")


def measure(page: Page, address: str, rounds: int) -> dict[str, list[float]]:
    """What each step took: step -> milliseconds of each round."""
    found: dict[str, list[float]] = {"first sheet": [first_sheet(page, address)]}
    for _ in range(rounds - 1):
        found["first sheet"].append(first_sheet(page, address))
    page.wait_for_timeout(500)
    keys = {"yes": "y", "no": "n", "undo": "Control+z", "redo": "Control+Shift+Z"}
    for step, key in keys.items():
        found[step] = [decision(page, key) for _ in range(rounds)]
        page.wait_for_timeout(300)
    found["junk of two"] = []
    for _ in range(rounds):
        page.locator("#sheet .card").first.click()
        page.keyboard.press("Shift+ArrowRight")
        found["junk of two"].append(decision(page, "j"))
    step = "document.dispatchEvent(new KeyboardEvent('keydown', {key: ']', bubbles: true}))"
    target = step.replace("document.dispatch", "document.body.dispatch")
    found["another identity"] = [timed(page, target) for _ in range(rounds)]
    found["all junk"] = [timed(page, "document.querySelector('#nobody-junk').click()")]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracklets", type=int, default=5000)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--json", action="store_true", help="print the figures and write no table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder) / "dataset"
        if options.dataset:
            shutil.copytree(options.dataset, root, ignore=shutil.ignore_patterns(".work", "decisions.jsonl"))
            what = f"the dataset {options.dataset.name}"
        else:
            root.mkdir()
            write_made_up(root, options.tracklets)
            what = f"a made-up dataset of {options.tracklets:,} tracklets of {PEOPLE} people in {CAMERAS} cameras"
        browser = playwright.chromium.launch(executable_path=options.chromium, args=SWITCHES)
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        with served(root) as address:
            found = measure(page, address, options.rounds)
        version = browser.version
        browser.close()
    answers = [time for step in ("yes", "no", "junk of two") for time in found[step]]
    allowed = round(60_000 / statistics.median(answers))
    if options.json:
        print(json.dumps({"milliseconds": found, "decisions_a_minute": allowed, "machine": describe()}))
        return
    rows = [f"| {step} | {statistics.median(times):.0f} | {max(times):.0f} |" for step, times in found.items()]
    text = TEXT.format(
        what=what, browser=f"Chromium {version}", rounds=options.rounds, rows="\n".join(rows), allowed=f"{allowed:,}",
        machine=describe(),
    )  # fmt: skip
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
