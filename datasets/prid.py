"""Reads PRID-2011 (Hirzer et al., "Person Re-Identification by Descriptive and Discriminative Classification", SCIA
2011), its multi-shot part.

    dataset = read_prid("data/prid-2011", split=0)

178 of its people, two cameras, ten splits into halves: a result is the mean over the ten.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from .errors import UsageError
from .schema import read_json
from .tables import first_file, image_files, incomplete
from .tracklet import Frames, ReidDataset, Tracklet

LAYOUT = "prid_2011/multi_shot/cam_a/person_NNNN/*.png, the same for cam_b, and splits_prid2011.json"
SPLITS = 10
SPLITS_FILE = "splits_prid2011.json"
CAMERAS = ("cam_a", "cam_b")
SHARED = 200  # the first so many people are seen in both cameras
FEWEST = 21  # images a camera; with fewer of them a person is left out

Person = Annotated[str, Meta(pattern=r"^person_\d{4}$")]


class Split(Struct, frozen=True):
    """One split of the file that torchreid gives out: names of people's folders."""

    train: Annotated[tuple[Person, ...], Meta(min_length=1)]
    test: Annotated[tuple[Person, ...], Meta(min_length=1)]


def read_prid(root: Path | str, split: int = 0) -> ReidDataset:
    """Split `split` (0 to 9) of PRID-2011 below `root`; queries are camera a, the gallery camera b.

    The splits are those of Wang et al. (ECCV 2014) as `splits_prid2011.json` holds them: 89 of 178 people train, 89
    test. Without that file, halves of the people among the first 200 who have 21 images or more in both cameras are
    drawn from the split's number as seed, and the protocol is `prid-2011-seeded`.

    Raises:
        UsageError: a folder or a person's images are missing, or the splits file doesn't fit.
    """
    if not 0 <= split < SPLITS:
        raise UsageError(f"PRID-2011 has no split {split}. Splits are 0 to {SPLITS - 1}.")
    root = Path(root)
    shots = first_file(root, ("prid_2011/multi_shot", "multi_shot"))
    if shots is None:
        raise incomplete(root, "PRID-2011", "the folder multi_shot", LAYOUT)
    for camera in CAMERAS:
        if not (shots / camera).is_dir():
            raise incomplete(root, "PRID-2011", f"the folder multi_shot/{camera}", LAYOUT)
    path = first_file(root, (SPLITS_FILE, f"prid_2011/{SPLITS_FILE}"))
    chosen = _drawn(root, shots, split) if path is None else _given(path, split)
    return ReidDataset(
        name="prid-2011",
        train=_part(shots, chosen.train, (0, 1)),
        query=_part(shots, chosen.test, (0,)),
        gallery=_part(shots, chosen.test, (1,)),
        protocol="prid-2011" if path else "prid-2011-seeded",
        cameras=CAMERAS,
        root=root,
    )


def _given(path: Path, split: int) -> Split:
    splits = read_json(path, tuple[Split, ...], "Fetch it again.")
    if len(splits) != SPLITS:
        raise UsageError(f"'{path}' has {len(splits)} splits, not {SPLITS}; fetch it again.")
    people = {*splits[0].train, *splits[0].test}
    for number, one in enumerate(splits):
        if len(one.train) + len(one.test) != len(people) or {*one.train, *one.test} != people:
            raise UsageError(
                f"Split {number} of '{path}' names a person twice, or other people than split 0; fetch it again."
            )
    return splits[split]


def _drawn(root: Path, shots: Path, split: int) -> Split:
    shared = [f"person_{number:04d}" for number in range(1, SHARED + 1)]
    people = [p for p in shared if all(len(image_files(shots / camera / p)) >= FEWEST for camera in CAMERAS)]
    if len(people) < 2:
        raise incomplete(
            root, "PRID-2011", f"all but {len(people)} people with {FEWEST} images in both cameras", LAYOUT
        )
    order = np.random.default_rng(split).permutation(len(people))
    half = len(people) // 2
    train, test = (tuple(people[i] for i in sorted(part)) for part in (order[half:].tolist(), order[:half].tolist()))
    return Split(train, test)


def _part(shots: Path, people: Sequence[str], cameras: Sequence[int]) -> tuple[Tracklet, ...]:
    tracklets = []
    for person in sorted(people):
        for camera in cameras:
            folder = shots / CAMERAS[camera] / person
            files = image_files(folder)
            if not files:
                raise UsageError(f"'{folder}' holds no images; unpack PRID-2011 again.")
            number = int(person.removeprefix("person_"))
            tracklets.append(Tracklet(f"{CAMERAS[camera]}/{person}", number, camera, Frames(files)))
    return tuple(tracklets)
