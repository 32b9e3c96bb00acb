"""A folder of crops without labels, as tracklets.

Example:

    tracklets = read_folder("crops/")     # crops/<tracklet>/*.jpg, or crops/*.jpg with one image a tracklet
"""

import os
from pathlib import Path

from .errors import UsageError
from .tracklet import JUNK, Frames, Tracklet

IMAGES = (".jpg", ".jpeg", ".png")


def read_folder(root: Path | str) -> tuple[Tracklet, ...]:
    """Each sub-folder with images is a tracklet named after it; an image that lies in `root` itself is one of its own.

    Names are sorted, and so are a tracklet's frames. Identities are not known: all are `JUNK`, camera 0.

    Raises:
        UsageError: no such folder, or no image in it.
    """
    root = Path(root)
    if not os.path.isdir(root):
        raise UsageError(f"There is no folder '{root}'. Give a dataset, a bench, or a folder of .jpg or .png crops.")
    found = []
    for entry in sorted(root.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            images = sorted(p for p in entry.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith("."))
        else:
            images = [entry] if entry.suffix.lower() in IMAGES else []
        if images:
            frames = Frames(tuple(str(p) for p in images))
            found.append(Tracklet(entry.name, JUNK, 0, frames, kind="junk"))
    if not found:
        raise UsageError(f"'{root}' holds no .jpg or .png crops, neither directly nor one folder down.")
    return tuple(found)
