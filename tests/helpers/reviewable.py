"""A small dataset to review, and its review in a process of its own."""

import contextlib
import json
import multiprocessing

import polars as pl

from reidkit.datasets.format import FRAME_COLUMNS, IDENTITY_COLUMNS, TRACKLET_COLUMNS
from reidkit.toolkit.review.server import serve
from reidkit.toolkit.review.session import open_session

# id -> identity, kind, camera, event, first and last second. Identities 1 and 2 may be one person; 1 and 3 may not:
# both are in the north at one time.
TRACKLETS = {
    "a": (1, "person", "north", "final", 0.0, 2.0),
    "b": (1, "person", "east", "final", 0.0, 2.0),
    "c": (2, "person", "north", "final", 4.0, 6.0),
    "d": (2, "person", "east", "final", 4.0, 6.0),
    "e": (3, "person", "north", "final", 0.5, 3.0),
    "f": (3, "person", "east", "final", 7.0, 8.0),
    "g": (-1, "junk", "north", "final", 8.0, 9.0),
    "h": (4, "person", "west", "heat", 0.0, 2.0),
    "i": (4, "person", "west", "heat", 3.0, 5.0),
}
SURE = [(1, "final", 0.9, 0.5, 2, 0.6), (2, "final", 0.9, 0.5, 1, 0.6), (3, "final", 0.8, 0.8, 1, 0.3)]
CROPS = 6
SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def write_reviewable(root, make_jpeg, rng):
    """Writes the dataset: every tracklet with six crops, one of them with a caption that is in doubt."""
    (root / "crops").mkdir(parents=True)
    tracklets, frames, shard = [], [], b""
    for id_, (identity, kind, camera, event, start, end) in TRACKLETS.items():
        row = dict.fromkeys(TRACKLET_COLUMNS)
        row |= {"id": id_, "identity": identity, "kind": kind, "camera": camera, "event": event, "split": "train"}
        row |= {"role": "train", "start": start, "end": end, "frames": CROPS, "quality": 0.5, "confidence": 0.9}
        tracklets.append(row)
        for k in range(CROPS):
            data = make_jpeg(rng)
            time = start + k * (end - start) / (CROPS - 1)
            frame = dict.fromkeys(FRAME_COLUMNS, 0.0)
            frame |= {"tracklet": id_, "frame": round(time * 50), "time": time, "x2": 20.0, "y2": 40.0}
            frames.append(frame | {"shard": "crops/all.tar", "offset": len(shard), "length": len(data)})
            shard += data
    (root / "crops" / "all.tar").write_bytes(shard)
    pl.DataFrame(tracklets, schema=TRACKLET_COLUMNS).write_parquet(root / "tracklets.parquet")
    pl.DataFrame(frames, schema=FRAME_COLUMNS).write_parquet(root / "frames.parquet")
    pl.DataFrame(SURE, schema=IDENTITY_COLUMNS, orient="row").write_parquet(root / "identities.parquet")
    caption = {"tracklet": "a", "text": SCRIPT, "captioner": "endpoint", "model": "m", "doubts": ["too short"]}
    (root / "captions.jsonl").write_text(json.dumps(caption) + "\n")
    (root / "dataset.json").write_text(json.dumps({"format": 1, "name": "small", "protocol": "video-reid"}))
    return root


# A process forked from one that has imported the server already starts at once, and can be killed.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["reidkit.toolkit.review.server"])


@contextlib.contextmanager
def reviewed(root, port=0):
    """The review of the dataset, by anna, in a process of its own while the block runs -> (address, process)."""
    receiver, sender = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_serve, args=(root, port, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield receiver.recv(), process
    finally:
        process.kill()
        process.join()
        receiver.close()


def _serve(root, port, sender):
    with open_session(root) as session:
        serve(session, port=port, by="anna", ready=sender.send)


def decided(root):
    """The lines that people wrote into decisions.jsonl: what was decided about which tracklets."""
    path = root / "decisions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{k: v for k, v in line.items() if k not in ("number", "by", "at")} for line in lines if "after" not in line]
