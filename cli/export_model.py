"""`reidkit export-model`: a trained model as an .onnx file.

    reidkit export-model cgclip --weights runs/mars/cgclip/seed0 -o cgclip.onnx
    reidkit export-model tfclip --weights TF-CLIP_MARS.pth -o tfclip.onnx --clips mars

It is compared with PyTorch on the clips of a dataset, or on people that the simulator renders.
"""

import dataclasses
import tempfile
from pathlib import Path

import click
import cv2
import msgspec

from .options import DATA, JSON, SET, WEIGHTS
from .terminal import print_json, show, tell

PEOPLE, SECONDS, FPS, PICTURE = 6, 2, 8, (640, 360)  # of the rendered clips


@click.command("export-model")
@click.argument("model")
@WEIGHTS
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .onnx to write.")
@click.option("--clips", metavar="BENCH|DATASET|FOLDER", help="Whose clips to compare on. [default: simulated people]")
@click.option("--size", help="Recipe by size for weights from elsewhere. [default: the run's own, or full]")
@SET
@DATA
@JSON
def export_model(model, weights, output, clips, size, overrides, data, as_json):
    """Write MODEL with WEIGHTS as ONNX, and compare it with PyTorch on clips.

    Batch and, where the model allows, clip length are free. The file says itself what it takes, which `build-dataset
    --embedder FILE.onnx` reads. Where any number of the features, brought to length 1, differs by more than 1e-4,
    nothing is written.
    """
    from ..datasets.folder import read_folder
    from ..leaderboard.gallery import open_source
    from ..toolkit.export_model import write_model
    from ..training.trained import open_model
    from ..training.user_model import user_faults

    with tempfile.TemporaryDirectory() as folder, user_faults():
        if clips is None:
            render_people(Path(folder))
            dataset, tracklets = None, read_folder(folder)
        else:
            dataset, tracklets = open_source(clips, data)
        opened = open_model(model, weights, size, overrides, dataset, "cpu")
        written = write_model(opened, tracklets, output)
    if as_json:
        compared = [dataclasses.asdict(one) for one in written.compared]
        about = {"output": str(output), "bytes": written.size, "inputs": written.inputs, "largest": written.largest}
        print_json({**about, "compared": compared, "says": msgspec.to_builtins(written.facts)})
        return
    rows = [(str(c.clips), str(c.batch), str(c.frames), f"{c.difference:.1e}") for c in written.compared]
    show(("clips", "at once", "frames", "largest difference"), rows, right=("clips", "at once", "frames"))
    inputs = ", ".join(f"{name} [{', '.join(map(str, shape))}]" for name, shape in written.inputs.items())
    step, frames = written.facts.frame_step, written.facts.frames
    lengths = (
        f"of {frames} frames alone"
        if not step
        else f"of any multiple of {step} frames"
        if step > 1
        else "of any length"
    )
    tell(f"{output}: {written.size / 1e6:.1f} MB, takes {inputs}, clips {lengths}.")
    tell(f"Largest difference from PyTorch in features of length 1: {written.largest:.1e}.")


def render_people(folder: Path) -> None:
    """`folder/<person>/<frame>.jpg`: crops of simulated people, as a build would cut them."""
    from ..simulator.event import make_event

    event = make_event("sports", 0, PEOPLE, 1, SECONDS, FPS, PICTURE, seed=0)
    for index, (pictures, truths) in enumerate(event.frames()):
        for person, (x, y, width, height), _ in truths[0]:
            crop = pictures[0][max(round(y), 0) : round(y + height), max(round(x), 0) : round(x + width)]
            if crop.size:
                path = folder / f"{person:02d}" / f"{index:04d}.jpg"
                path.parent.mkdir(exist_ok=True)
                cv2.imwrite(str(path), crop)
