"""A folder of crops without labels, as tracklets.

Example:

    tracklets = read_folder("crops/")     # crops/<tracklet>/*.jpg, or crops/*.jpg with one image a tracklet
"""

import os
from pathlib import Path

from .errors import UsageError
from .tables import IMAGES, image_files
from .tracklet import JUNK, Frames, Tracklet


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
            images = image_files(entry)
        else:
            images = (str(entry),) if entry.suffix.lower() in IMAGES else ()
        if images:
            found.append(Tracklet(entry.name, JUNK, 0, Frames(images), kind="junk"))
    if not found:
        raise UsageError(f"'{root}' holds no .jpg or .png crops, neither directly nor one folder down.")
    return tuple(found)
