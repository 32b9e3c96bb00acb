"""Reads iLIDS-VID (Wang et al., "Person Re-Identification by Video Ranking", ECCV 2014).

    dataset = read_ilids("data/ilids-vid", split=0)

300 people, two cameras, ten splits: a result is the mean over the ten.
"""

import dataclasses
from pathlib import Path

import numpy as np

from .errors import UsageError
from .matlab import read_mat
from .tables import first_file, image_files, incomplete
from .tracklet import Frames, ReidDataset, Tracklet

LAYOUT = (
    "i-LIDS-VID/sequences/cam1/personNNN/*.png, the same for cam2, and "
    "'train-test people splits/train_test_splits_ilidsvid.mat'"
)
SPLITS = 10
SPLITS_FILE = "train_test_splits_ilidsvid.mat"
CAMERAS = ("cam1", "cam2")
WINDOW, WINDOW_STEP = 8, 4  # frames


def read_ilids(root: Path | str, split: int = 0, swap_halves: bool = False) -> ReidDataset:
    """Split `split` (0 to 9) of iLIDS-VID below `root`; queries are camera 1, the gallery camera 2.

    A row of the splits file holds indices into the sorted person folders: the first half is test, the second train.

    Args:
        swap_halves: the first half trains and the second tests, as TF-CLIP's code does; see `in_windows`.

    Without the splits file, splits are drawn from the split's number as seed, and the protocol is `ilids-vid-seeded`.

    Raises:
        UsageError: a folder or a person's images are missing, or the splits file doesn't fit the folders.
    """
    if not 0 <= split < SPLITS:
        raise UsageError(f"iLIDS-VID has no split {split}. Splits are 0 to {SPLITS - 1}.")
    root = Path(root)
    sequences = first_file(root, ("i-LIDS-VID/sequences", "sequences"))
    if sequences is None:
        raise incomplete(root, "iLIDS-VID", "the folder sequences", LAYOUT)
    people = _people(root, sequences)
    order, protocol = _split(root, split, len(people))
    half = len(people) // 2
    test, train = (order[half:], order[:half]) if swap_halves else (order[:half], order[half:])

    def part(indices: np.ndarray, cameras: tuple[int, ...]) -> tuple[Tracklet, ...]:
        return tuple(_tracklet(sequences, people[i], i + 1, c) for i in sorted(indices.tolist()) for c in cameras)

    return ReidDataset(
        name="ilids-vid",
        train=part(train, (0, 1)),
        query=part(test, (0,)),
        gallery=part(test, (1,)),
        protocol=protocol,
        cameras=CAMERAS,
        root=root,
    )


def in_windows(dataset: ReidDataset) -> ReidDataset:
    """The test tracklets cut into windows, each an item of its own, and the queries in the gallery too.

    What TF-CLIP's code ranks, with `swap_halves`; the protocol is then `ilids-vid-tfclip`, because its figures don't
    compare with the others'. A window has 8 frames and the next one begins 4 later; a tracklet's last frames may be in
    none, and one of fewer than 8 frames is a window.
    """
    query, gallery = (
        tuple(window for tracklet in tracklets for window in _windows(tracklet))
        for tracklets in (dataset.query, dataset.gallery)
    )
    return dataclasses.replace(dataset, query=query, gallery=query + gallery, protocol="ilids-vid-tfclip")


def _windows(tracklet: Tracklet) -> list[Tracklet]:
    files = tracklet.frames.files
    starts = range(0, max(len(files) - WINDOW, 0) + 1, WINDOW_STEP)
    return [
        dataclasses.replace(tracklet, id=f"{tracklet.id}/{start}", frames=Frames(files[start : start + WINDOW]))
        for start in starts
    ]


def _people(root: Path, sequences: Path) -> list[str]:
    folders = []
    for camera in CAMERAS:
        if not (sequences / camera).is_dir():
            raise incomplete(root, "iLIDS-VID", f"the folder sequences/{camera}", LAYOUT)
        folders.append({entry.name for entry in (sequences / camera).iterdir() if entry.is_dir()})
    alone = sorted(folders[0] ^ folders[1])
    if alone:
        raise incomplete(root, "iLIDS-VID", f"'{alone[0]}' in one of the two cameras ({len(alone)} such)", LAYOUT)
    if len(folders[0]) < 2:
        raise incomplete(root, "iLIDS-VID", "every person folder of sequences/cam1", LAYOUT)
    return sorted(folders[0])


def _split(root: Path, split: int, people: int) -> tuple[np.ndarray, str]:
    path = first_file(
        root,
        (f"train-test people splits/{SPLITS_FILE}", f"train-test-people-splits/{SPLITS_FILE}", SPLITS_FILE),
    )
    if path is None:
        return np.random.default_rng(split).permutation(people), "ilids-vid-seeded"
    table = read_mat(path, "ls_set")
    if not np.array_equal(np.sort(table, axis=1), np.tile(np.arange(1, people + 1), (SPLITS, 1))):
        raise UsageError(
            f"'{path}' has {table.shape[0]} splits of {table.shape[1]} people and '{root}' {people} person folders; it "
            f"should have {SPLITS} orders of exactly these people, so unpack the whole archive again."
        )
    return table[split] - 1, "ilids-vid"


def _tracklet(sequences: Path, person: str, identity: int, camera: int) -> Tracklet:
    folder = sequences / CAMERAS[camera] / person
    files = image_files(folder)
    if not files:
        raise UsageError(f"'{folder}' holds no images; unpack iLIDS-VID again.")
    return Tracklet(f"{CAMERAS[camera]}/{person}", identity, camera, Frames(files))
