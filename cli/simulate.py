"""Rendered footage with ground truth: `reidkit simulate OUT --kind sports|dance`.

    reidkit simulate raw --kind sports --events 2 --people 10 --cameras 3 --seconds 12 --seed 1
    reidkit simulate raw --from-mot sportsmot/train --frames 100

The second draws figures into the boxes of MOTChallenge annotation.
"""

from pathlib import Path

import click

from ..datasets.errors import UsageError
from ..datasets.progress import say
from .options import JSON
from .terminal import print_json

KINDS = ("sports", "dance")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="sports",
    show_default=True,
    help="Two teams, or one dance company.",
)
@click.option("--people", default=8, show_default=True, help="People in each event.")
@click.option("--cameras", default=3, show_default=True, help="Cameras round the floor.")
@click.option("--seconds", default=12.0, show_default=True, help="Length of each event.")
@click.option("--events", default=1, show_default=True, help="Events; each has its own people, place and cameras.")
@click.option("--returning", default=0, show_default=True, help="People of the first event who are in all others, too.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option("--fps", default=15.0, show_default=True, help="Frames a second.")
@click.option("--size", default="640x360", show_default=True, help="WIDTHxHEIGHT in pixels, for example 1280x720.")
@click.option("--moving", is_flag=True, help="Cameras pan, tilt and zoom; truth.json then holds no calibration.")
@click.option("--from-mot", type=click.Path(path_type=Path), help="Draw figures into the boxes of these MOT sequences.")
@click.option("--frames", type=int, help="With --from-mot: only the first frames of each sequence.")
@click.option(
    "--shared-ids", is_flag=True, help="With --from-mot: an id is one person in all clips of a video, not in one clip."
)
@click.option("--jobs", type=click.IntRange(1), help="Processes, one event each. [default: one a core, 4 at most]")
@JSON
def simulate(
    out,
    kind,
    people,
    cameras,
    seconds,
    events,
    returning,
    seed,
    fps,
    size,
    moving,
    from_mot,
    frames,
    shared_ids,
    jobs,
    as_json,
) -> None:
    """Render multi-camera footage of sports or dance into OUT, with ground truth.

    OUT/<event>/<camera>.mp4, OUT/<event>/truth/<camera>.txt (MOT lines) and OUT/truth.json (identities, calibration).
    """
    from ..simulator.simulate import Settings, parse_size
    from ..simulator.simulate import simulate as render

    if frames is not None and from_mot is None:
        raise UsageError("--frames goes with --from-mot; the length of simulated events is --seconds.")
    if shared_ids and from_mot is None:
        raise UsageError("--shared-ids goes with --from-mot; the people of simulated events are known.")
    if returning and from_mot is not None:
        raise UsageError("--returning goes with simulated events; the people of --from-mot are the annotation's.")
    if moving and from_mot is not None:
        raise UsageError("--moving goes with simulated events; with --from-mot the boxes are the annotation's.")
    if from_mot is not None and not from_mot.is_dir():
        raise UsageError(f"--from-mot '{from_mot}' is no folder; give one with `<sequence>/gt/gt.txt` below it.")
    width, height = parse_size(size)
    source = str(from_mot) if from_mot else None
    settings = Settings(
        kind, people, cameras, events, seconds, fps, width, height, seed, source, frames, shared_ids, moving, returning
    )
    truth = render(out, settings, jobs)
    counts = {
        "out": str(out),
        "kind": truth.kind,
        "events": len(truth.events),
        "people": len(truth.identities),
    }
    if as_json:
        print_json(counts | {"cameras": cameras if from_mot is None else None, "seed": seed})
    else:
        say(f"{counts['events']} events, {counts['people']} people in '{out}'.")
        say(f"Next: reidkit build-dataset {out} -o DATASET --detector simulated --embedder simulated")
