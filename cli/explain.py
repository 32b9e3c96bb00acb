"""What CG-CLIP's tokens look at.

    reidkit explain runs/sports/cgclip/seed0 demo/sports --tracklet 0007-c2-1 -o tokens.png

The picture has a row for each token and a column for each frame.
"""

from pathlib import Path

import click

from ..datasets import UsageError
from ..datasets.names import nearest
from ..datasets.progress import say
from .options import DATA, DEVICE, JSON
from .terminal import print_json


@click.command()
@click.argument("model_run", metavar="MODEL_RUN", type=click.Path(path_type=Path))
@click.argument("dataset", metavar="BENCH|DATASET")
@click.option("--tracklet", "wanted", required=True, metavar="ID", help="A tracklet of the dataset, train or test.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The picture to write: .png, .jpg."
)
@click.option("--frames", type=click.IntRange(1, 64), help="Frames, evenly spread. [default: the model's clip length]")
@click.option("--height", type=click.IntRange(32, 1024), default=128, show_default=True, help="Of a crop, in pixels.")
@DEVICE
@DATA
@JSON
def explain(model_run, dataset, wanted, output, frames, height, device, data, as_json):
    """Draw the attention of CG-CLIP's tokens over a tracklet's frames.

    MODEL_RUN is a folder that `reidkit run cgclip` wrote. A row a token, a column a frame.
    """
    from ..cgclip.drawing import draw_tokens
    from ..datasets.benches import load_bench
    from ..datasets.devices import pick_device
    from ..datasets.files import atomic_path
    from ..training.run_folder import read_facts
    from ..training.trained import open_run

    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"'{output}' is no picture's name. End it in .png or .jpg.")
    facts = read_facts(model_run)
    if facts is None:
        raise UsageError(f"'{model_run}' is no run of reidkit. Give a folder that `reidkit run cgclip` wrote.")
    if facts.model.partition("/")[0] != "cgclip":
        raise UsageError(f"'{model_run}' is a run of {facts.model}; only cgclip has tokens to draw. Give one of it.")
    trained = open_run(model_run, pick_device(device))
    tracklet = _find(load_bench(dataset, data), wanted)
    found = draw_tokens(trained, tracklet, frames, height)
    with atomic_path(output) as temporary:
        found.picture.save(temporary, format="PNG" if output.suffix.lower() == ".png" else "JPEG")
    if as_json:
        shares = found.shares.tolist()
        print_json({"output": str(output), "frames": found.frames, "share_of_frames": shares})
    else:
        tokens, drawn = found.shares.shape
        say(f"{output}: {tokens} tokens over {drawn} frames of tracklet {tracklet.id}")


def _find(dataset, wanted):
    known = {t.id: t for t in (*dataset.train, *dataset.test)}
    if wanted not in known:
        near = ", ".join(nearest(wanted, known))
        raise UsageError(f"'{dataset.name}' has no tracklet '{wanted}' among its {len(known)}; for example {near}.")
    return known[wanted]
