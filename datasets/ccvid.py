"""Reads CCVID (Gu et al., "Clothes-Changing Person Re-Identification with RGB Modality Only", CVPR 2022).

    dataset = read_ccvid("data/ccvid")

226 people in 2,856 tracklets: 75 train in 948; of 151 in the test set 834 tracklets are queries and 1,074 the gallery.
"""

import re
from pathlib import Path

from .errors import UsageError
from .files import lies_below
from .progress import progress
from .tables import first_file, image_files, incomplete, read_names
from .tracklet import Frames, ReidDataset, Tracklet

LAYOUT = "session1/, session2/, session3/ with one folder a tracklet, and train.txt, query.txt, gallery.txt"
SESSION3 = 12  # what is added to the camera's number: the third session was filmed in another place
TRACKLET = re.compile(r"session[123]/\d+_(\d{1,4})")  # session1/001_01: person, then camera
DIGITS = 9  # at most, of a person's number


def read_ccvid(root: Path | str) -> ReidDataset:
    """CCVID below `root`.

    A line of a list is the folder of a tracklet, the person and the clothes, with tabs or spaces between them:
    `session1/001_01 001 u0_l0_s0_c0_a0`. The camera is the number behind the folder's underscore, and 12 more in
    session 3. The outfit is the clothes' label, which is a person's own. Queries are no part of the gallery.

    Raises:
        UsageError: a list or folder is missing, a line is no tracklet, one comes twice, or one has no images.
    """
    root = Path(root)
    base = root / "CCVID" if (root / "CCVID").is_dir() else root
    train, query, gallery = (_part(root, base, name) for name in ("train", "query", "gallery"))
    everything = (*train, *query, *gallery)
    if len({t.id for t in everything}) != len(everything):
        raise UsageError(f"The lists of '{base}' name a tracklet twice; fetch train.txt, query.txt, gallery.txt again.")
    cameras = max(t.camera for t in everything) + 1
    return ReidDataset(
        name="ccvid",
        train=train,
        query=query,
        gallery=gallery,
        protocol="ccvid",
        cameras=tuple(f"c{camera}" for camera in range(cameras)),
        root=root,
    )


def _part(root: Path, base: Path, name: str) -> tuple[Tracklet, ...]:
    path = first_file(base, (f"{name}.txt",))
    if path is None:
        raise incomplete(root, "CCVID", f"{name}.txt", LAYOUT)
    lines = read_names(path)
    if not lines:
        raise UsageError(f"'{path}' is empty; fetch it again.")
    tracklets = []
    with progress(f"CCVID {name}", total=len(lines), unit="tracklets") as advance:
        for number, line in enumerate(lines, start=1):
            folder, person, outfit = parts if len(parts := line.split()) == 3 else ("", "", "")
            found = TRACKLET.fullmatch(folder)
            if found is None or not lies_below(folder) or not (person.isdecimal() and len(person) <= DIGITS):
                raise UsageError(
                    f"Line {number} of '{path}' is '{line[:100]}', not the folder of a tracklet (session1/001_01), a "
                    "person and clothes; fetch it again."
                )
            files = image_files(base / folder)
            if not files:
                raise incomplete(root, "CCVID", f"every image of {folder}", LAYOUT)
            camera = int(found[1]) + (SESSION3 if folder.startswith("session3/") else 0)
            tracklets.append(Tracklet(folder, int(person), camera, Frames(files), outfit=outfit))
            advance(1)
    return tuple(tracklets)
