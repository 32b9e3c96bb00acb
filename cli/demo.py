"""`reidkit demo`: the whole path, from footage to a paper's table, on simulated people. About 5 minutes on two cores.

Each step is an ordinary reidkit command, printed before it runs, so that it can be repeated alone. A demo that was
stopped goes on where it was.
"""

import resource
import time
from pathlib import Path

import click

KINDS = ("sports", "dance")
MODELS = ("resnet50", "cgclip")


def steps(out: Path, people: int, seconds: int) -> list[tuple[str, list[str], Path | None]]:
    """(title, arguments, file whose presence means done) of each step, in order."""
    plan: list[tuple[str, list[str], Path | None]] = []
    for seed, kind in enumerate(KINDS, start=1):
        raw = out / "raw" / kind
        size = ["--events", "2", "--cameras", "3", "--people", str(people), "--seconds", str(seconds)]
        arguments = ["simulate", str(raw), "--kind", kind, *size, "--seed", str(seed)]
        plan.append((f"Render {kind} footage", arguments, raw / "truth.json"))
    for kind in KINDS:
        dataset = out / "data" / f"{kind}-sim"
        names = ["--name", f"{kind}-sim", "--detector", "simulated", "--embedder", "simulated"]
        arguments = ["build-dataset", str(out / "raw" / kind), "-o", str(dataset), *names]
        plan.append((f"Build the {kind} dataset", arguments, dataset / "dataset.json"))
        plan.append((f"Caption the {kind} dataset", ["caption", str(dataset), "--captioner", "template"], None))
        sheet = out / f"{kind}-sheet.jpg"
        plan.append((f"Look at the {kind} dataset", ["inspect", str(dataset), "--sheet", str(sheet)], None))
    benches = ",".join(str(out / "data" / f"{kind}-sim") for kind in KINDS)
    places = ["--results", str(out / "results"), "--runs", str(out / "runs")]
    arguments = ["run", ",".join(MODELS), "--bench", benches, "--size", "tiny", *places]
    plan.append(("Train and test two models on both", arguments, None))
    for model in MODELS:
        for trained, tested in (KINDS, KINDS[::-1]):
            weights = str(out / "runs" / f"{trained}-sim" / model / "seed0")
            arguments = ["evaluate", model, "--weights", weights, "--bench", str(out / "data" / f"{tested}-sim")]
            arguments += ["--results", str(out / "results")]
            done = out / "results" / f"{tested}-sim" / f"{model}@{trained}-sim"
            plan.append((f"Test {model} of {trained} on {tested}", arguments, done))
    for title, name in (("The table", "hard"), ("Trained here, tested there", "cross"), ("Open set", "open-set")):
        plan.append((title, ["table", name, "--results", str(out / "results")], None))
    page = str(out / "report.html")
    plan.append(("The report", ["report", "-o", page, "--results", str(out / "results")], None))
    return plan


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--people", type=click.IntRange(4, 40), default=12, show_default=True, help="In each event.")
@click.option("--seconds", type=click.IntRange(4, 600), default=12, show_default=True, help="Of footage a camera.")
def demo(out: Path, people: int, seconds: int) -> None:
    """Simulate footage, build two datasets, caption them, train and test two models, print tables, write the report.

    Everything lands under OUT. Its numbers are whatever comes out: they show that the path runs, not what the models
    can do.
    """
    from .main import group

    started = time.monotonic()
    took: list[tuple[str, float]] = []
    for title, arguments, done in steps(out, people, seconds):
        shown = " ".join(["reidkit", *arguments])
        if done is not None and done.exists():
            click.secho(f"\n{title}: done before ({done})", bold=True)
            continue
        click.secho(f"\n{title}", bold=True)
        click.echo(f"$ {shown}")
        before = time.monotonic()
        group.main(args=arguments, prog_name="reidkit", standalone_mode=False)
        took.append((title, time.monotonic() - before))

    click.secho("\nWhere the time went", bold=True)
    for title, duration in took:
        click.echo(f"  {duration:6.1f} s  {title}")
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    click.echo(f"  {time.monotonic() - started:6.1f} s  in all, {memory / 1024**2:.1f} GB of memory at the most")
    click.secho("\nWhere everything lies", bold=True)
    for path, what in (
        (out / "raw", "footage and its ground truth"),
        (out / "data", "the two datasets; dataset.json holds the build's scores"),
        (out / "sports-sheet.jpg", "contact sheets: identities by cameras (and dance-sheet.jpg)"),
        (out / "results", "one JSON a result; `reidkit table --results` reads them"),
        (out / "report.html", "all results on one page, for a browser"),
        (out / "runs", "checkpoints and logs"),
    ):
        click.echo(f"  {path!s:28} {what}")
