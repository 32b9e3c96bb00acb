"""What each model is, and what it costs.

    reidkit models
    reidkit models --measure cgclip,tfclip      # milliseconds and memory on this machine; `reidkit table complexity`
    reidkit models --measure all --size tiny --device cuda

The costs don't depend on the weights, so none are needed.
"""

import dataclasses
from pathlib import Path

import click

from ..datasets.progress import say
from .options import DEVICE, JSON, RESULTS, SIZE, names_in
from .terminal import print_json, show, show_results, tell

CLASSES, CAMERAS = 625, 6  # MARS'


@click.command()
@click.option("--measure", "measured", metavar="MODEL[,…]|all", help="Time these here, weights made up, and store it.")
@SIZE
@RESULTS
@DEVICE
@JSON
def models(measured, size, results, device, as_json):
    """The models, their papers and sizes; with --measure what they cost on this machine."""
    from ..training import zoo

    if measured is not None:
        _measure(names_in(measured, list(zoo.MODULES)), size, results, device, as_json)
        return
    rows = [_row(name) for name in zoo.MODULES]
    if as_json:
        print_json({"models": rows})
        return
    counted = ("M parameters, full / tiny", "GFLOPs a clip, full / tiny", "T")
    columns = ("name", "model", "published", "paper", "backbone", *counted, "licence", "parity")
    lines = []
    for row in rows:
        parameters = " / ".join(f"{count / 1e6:.1f}" for count in row["parameters"].values())
        gigaflops = " / ".join(f"{count:.1f}" for count in row["gflops"].values())
        frames = " / ".join(str(count) for count in row["frames"].values())
        about = (row["title"], f"{row['venue']} {row['year']}", row["paper"], row["backbone"])
        parity = row["parity"] or ("no code to compare with" if row["licence"] == "-" else "not shown")
        lines.append((row["name"], *about, parameters, gigaflops, frames, row["licence"], parity))
    show(columns, lines, right=counted)
    tell(
        f"Parameters with {CLASSES} identities and {CAMERAS} cameras, as on MARS. GFLOPs: a test clip of T frames to "
        "its feature, a multiply-add as two (papers mostly count one). Licence: of the authors' released code; none: "
        "released without one; -: none released. Parity: how agreement with that code was shown."
    )
    for row in rows:
        if row["variants"]:
            tell(f"Variants: {', '.join(row['name'] + '/' + variant for variant in row['variants'])}")


def _row(name: str) -> dict:
    """What `--json` prints of one model. Nothing is computed but shapes, so it takes no memory."""
    from ..leaderboard.complexity import gigaflops
    from ..training import zoo
    from ..training.trained import outline

    module = zoo.module(name)
    parameters, operations = {}, {}
    for size, recipe in module.RECIPES.items():
        model = outline(module, recipe, CLASSES, CAMERAS).to("meta").eval()
        parameters[size] = sum(p.numel() for p in model.parameters())
        operations[size] = gigaflops(model, _clip(recipe))
    return {
        "name": name,
        **dataclasses.asdict(module.INFO),
        "parameters": parameters,
        "gflops": operations,
        "frames": {size: recipe.test_frames for size, recipe in module.RECIPES.items()},
        "variants": sorted(getattr(module, "VARIANTS", {})),
    }


def _clip(recipe) -> tuple[int, int, int, int]:
    """[T, 3, H, W] of a test clip."""
    return recipe.test_frames, 3, recipe.clip.height, recipe.clip.width


def _measure(names: list[str], size: str, results: Path, device: str, as_json: bool) -> None:
    """Weights are made up, none are needed: time and memory don't depend on them."""
    from ..datasets.devices import pick_device
    from ..leaderboard import complexity
    from ..training import zoo
    from ..training.model import build
    from ..training.user_model import user_faults

    chosen = str(pick_device(device))
    # every name is looked up before the first is timed
    recipes = {name: dataclasses.replace(zoo.recipe(name, size), pretrained="") for name in names}
    costs = []
    for name, recipe in recipes.items():
        with user_faults():
            model = build(zoo.module(name), recipe, CLASSES, CAMERAS)
            cost = complexity.measure(
                model, _clip(recipe), chosen, name=zoo.title(name), size=size, precision=recipe.precision
            )
        path = complexity.save(results, cost)
        costs.append(cost)
        say(f"{path}: {cost.gflops:.1f} GFLOPs, {cost.milliseconds:.1f} ms, {cost.memory_mib:.0f} MiB a clip")
    if as_json:
        print_json({"measured": [dataclasses.asdict(cost) for cost in costs], "results_dir": str(results)})
    else:
        show_results(complexity.table(results))
