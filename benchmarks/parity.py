"""Does our model compute what the authors' code computes? Compares ours with figures taken from theirs.

    python benchmarks/parity.py tfclip tests/golden/tfclip 0
    python benchmarks/parity.py ap3d ../shared/golden/ap3d 0 --bound 1e-4
    python benchmarks/parity.py all tests/golden 0      # GOLDEN_DIR/<model> each; writes benchmarks/results/parity.md

GOLDEN_DIR is a folder as `golden.py` describes it. Printed: the largest absolute difference of each array; exit status
1 when one is above the bound, or when an entry that they use has no place in our model. A model needs nothing but
`build` and `convert` for its feature to be compared; `parity_arrays.py` gives what more is.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from golden import Golden  # these three are beside this file
from machine import describe
from parity_arrays import IN_FLOAT64, compute

from reidkit.datasets import ReidkitError
from reidkit.training import zoo

BOUNDS = {"ap3d_nl": 1e-3}  # its unscaled softmax magnifies the rounding in theirs
BOUND = 1e-4
TABLE = Path(__file__).parent / "results" / "parity.md"


@dataclass
class Checked:
    """One model against its figures; `failed` says why it is not at parity, "" where it is."""

    golden: Golden
    bound: float
    differences: dict[str, float | None]

    @property
    def given(self) -> dict[str, float]:
        return {name: d for name, d in self.differences.items() if d is not None}

    @property
    def failed(self) -> str:
        golden = self.golden
        # the first list is the sharper one, but only some folders have it
        lists = ("entries_never_used_even_in_training", "entries_not_used_for_feature")
        unused = next((golden.meta[key] for key in lists if key in golden.meta), [])
        if any(not difference <= self.bound for difference in self.given.values()):
            return "above the bound"
        if self.differences.get("feature") is None:
            return "no feature"
        if any(name not in unused for name in golden.unexpected):
            return "entries without a place"
        return ""


def check(name: str, folder: Path, seed: int, bound: float | None) -> Checked:
    golden = Golden(name, folder, seed)
    return Checked(golden, bound or BOUNDS.get(name, BOUND), golden.compare(compute(golden)))


def report(checked: Checked) -> None:
    golden, bound = checked.golden, checked.bound
    for name, difference in checked.differences.items():
        mark = "" if difference is None or difference <= bound else "  above the bound"
        print(f"{name:42} {'not given' if difference is None else f'{difference:.2e}'}{mark}")
    for word, names in (("not in our model", golden.unexpected), ("not in theirs", golden.missing)):
        for name in names:
            print(f"{word}: {name}")
    given, largest = checked.given, max(checked.given.values(), default=math.nan)
    print(f"{len(given)} of {len(checked.differences)} arrays compared, largest {largest:.2e}, bound {bound:g}")


def write_table(models: list[Checked], seed: int, path: Path) -> None:
    lines = [
        "# Agreement with the authors' released code",
        "",
        "Largest absolute differences in float32 between our models and the authors' own, both filled with made-up",
        "weights by the rule in `benchmarks/parity.py`, on the same random clips. The feature is what is ranked;",
        "arrays are all that were compared: features at every clip length, intermediates, scores and losses.",
        f"Ours is computed in float64 for {', '.join(IN_FLOAT64)}, whose softmax magnifies the rounding of float32.",
        "",
        "| model | arrays | feature | largest of all | where | bound | |",
        "|---|---|---|---|---|---|---|",
    ]
    for checked in models:
        given = checked.given
        where = max(given, key=given.__getitem__)
        cells = [checked.golden.name, f"{len(given)} of {len(checked.differences)}"]
        cells += [f"{given.get('feature', math.nan):.1e}", f"{given[where]:.1e}", f"`{where}`", f"{checked.bound:g}"]
        lines.append(f"| {' | '.join(cells)} | {checked.failed or 'holds'} |")
    lines += ["", f"Made by `python benchmarks/parity.py all tests/golden {seed}` on {describe()}.", ""]
    for checked in models:
        for word, names in (("not in ours", checked.golden.unexpected), ("not in theirs", checked.golden.missing)):
            if names:
                listed = ", ".join(f"`{name}`" for name in names)
                lines.append(f"- {checked.golden.name}, entries of the state dict {word}: {listed}")
    lines += [
        "",
        "What is not in ours the authors' code never uses for what was compared; loading such a file lists it. What is",
        "not in theirs we compute before training and keep as a buffer.",
    ]
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="name in `reidkit models`, or all")
    parser.add_argument("golden_dir", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--bound", type=float, help="default 1e-4; 1e-3 for ap3d_nl")
    options = parser.parse_args()
    folders = {options.model: options.golden_dir}
    if options.model == "all":
        folders = {name: options.golden_dir / name for name in zoo.MODULES if (options.golden_dir / name).is_dir()}
    if not folders:
        parser.error(f"'{options.golden_dir}' holds no folder with the name of a model")
    for folder in folders.values():
        for file in ("meta.json", f"seed{options.seed}.npz"):
            if not (folder / file).is_file():
                parser.error(f"there is no {file} in '{folder}'")
    models = []
    for name, folder in folders.items():
        if options.model == "all":
            print(f"{name}:", flush=True)
        try:
            models.append(check(name, folder, options.seed, options.bound))
        except ReidkitError as error:
            parser.error(str(error))
        report(models[-1])
    if options.model == "all":
        write_table(models, options.seed, TABLE)
        print(TABLE)
    return int(any(checked.failed for checked in models))


if __name__ == "__main__":
    sys.exit(main())
