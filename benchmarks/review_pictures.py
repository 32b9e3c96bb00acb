"""Draws the pictures of docs/review.md from three datasets, in a headless browser.

    python benchmarks/review_pictures.py --sports DIR --dance DIR --footage DIR

The datasets are copied first: nothing is decided in them. What is done in the copies before each picture stands in
PICTURES, as keys that a reviewer would press.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from review_page import SWITCHES, served

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
LARGEST = 250_000  # bytes of a picture

# name -> dataset, width, height, colours, keys
PICTURES: dict[str, tuple[str, int, int, str, tuple[str, ...]]] = {
    "review-sports": ("sports", 1440, 900, "light", ("g", "Space", "ArrowDown", "Space")),
    "review-sports-1024": ("sports", 1024, 768, "dark", ("s",)),
    "review-dance": ("dance", 1440, 900, "dark", ("s",)),
    "review-dance-1024": ("dance", 1024, 768, "light", ("s", "s")),
    "review-split": ("dance", 1440, 900, "light", ("s", "s", "s", "n", "ArrowRight", "ArrowRight")),
    "review-footage": ("footage", 1440, 900, "light", ("c", "c", "c")),
    "review-footage-1024": ("footage", 1024, 768, "dark", ()),
}


def draw(page: Page, address: str, keys: tuple[str, ...], path: Path) -> None:
    """Opens the page, presses the keys, and writes what is to be seen."""
    page.goto(address)
    page.wait_for_selector(".card")
    page.wait_for_timeout(12_000)  # the machine has judged anew
    for key in keys:
        page.wait_for_timeout(700)
        page.keyboard.press(key)
    page.wait_for_timeout(8000)  # what was said has gone
    for quality in range(88, 40, -6):
        page.screenshot(path=path, type="jpeg", quality=quality)
        if path.stat().st_size < LARGEST:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sports", "dance", "footage"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options["chromium"], args=SWITCHES)
        for name, (dataset, width, height, scheme, keys) in PICTURES.items():
            if options[dataset] is None:
                continue
            root = Path(folder) / name
            shutil.copytree(options[dataset], root, ignore=shutil.ignore_patterns("decisions.jsonl"))
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            with served(root) as address:
                draw(context.new_page(), address, keys, IMAGES / f"{name}.jpg")
            context.close()
            print(f"{name}.jpg: {(IMAGES / f'{name}.jpg').stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
