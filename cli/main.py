"""The command line: `reidkit COMMAND`. A command is imported only when it is called."""

import importlib
import sys
from typing import NoReturn

import click

from .. import __version__
from ..datasets.errors import MissingWeights, ReidkitError
from ..datasets.text import printable

# command -> (module:function, what it does)
COMMANDS = {
    "demo": (".demo:demo", "The whole path on simulated footage, in minutes."),
    "simulate": (".simulate:simulate", "Render multi-camera footage with ground truth."),
    "build-dataset": (".build:build_dataset", "Raw footage to a re-ID dataset."),
    "review": (".review:review", "A page in the browser to correct who is who."),
    "inspect": (".inspect:inspect", "What a dataset holds; its contact sheet."),
    "check": (".inspect:check", "Verify a dataset's files, splits and fingerprint."),
    "split": (".split:split", "Divide a dataset into train and test again, or into folds."),
    "export": (".export:export", "A dataset in the formats of others: MARS, Market, MOT, CVAT, …"),
    "import": (".export:import_", "Tracks or identities corrected elsewhere, as review decisions."),
    "forget": (".forget:forget", "Take people out of a dataset, for good."),
    "caption": (".caption:caption", "Write captions for a dataset's people."),
    "run": (".run:run", "Train and test models on benches."),
    "evaluate": (".evaluate:evaluate", "Test a trained model, ours or the authors' weights."),
    "embed": (".evaluate:embed", "Features of a dataset or a folder of crops, as .npz."),
    "export-model": (".export_model:export_model", "A trained model as an .onnx file, compared with PyTorch."),
    "search": (".search:search", "Rank a gallery for one tracklet."),
    "explain": (".explain:explain", "Draw what CG-CLIP's tokens look at."),
    "score": (".score:score", "Score anybody's features under a protocol."),
    "table": (".table:table", "The paper's tables, ours beside the published."),
    "compare": (".score:compare", "Is one model significantly better than another?"),
    "report": (".report:report", "One self-contained HTML page of all results."),
    "models": (".models:models", "The models, their papers and sizes; what they cost here."),
    "benches": (".benches:benches", "The datasets, their terms, and which are here."),
    "weights": (".weights:weights", "The weights that commands want, and which are here; `get` fetches."),
    "doctor": (".doctor:doctor", "What is installed, what is missing, how to get it."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called: `reidkit --help` never waits for torch."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        source, _, attribute = COMMANDS[name][0].partition(":")
        return getattr(importlib.import_module(source, package=__package__), attribute)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="reidkit")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(debug: bool) -> None:
    """Raw footage of sports and dance to a re-ID dataset, to trained models, to a paper's table."""


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 1 failed, 2 wrong usage, 3 done with losses above the threshold."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        if status := _run(arguments):
            sys.exit(status)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        more = f" `{context.command_path} --help` shows what is allowed." if context else ""
        print(f"reidkit: {_line(error.format_message().rstrip('.'))}.{more}", file=sys.stderr)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt) as stop:
        if isinstance(stop.__cause__, EOFError):  # click takes a file that ends too early for a Ctrl-D
            _unexpected(stop.__cause__, debug)
        print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except ReidkitError as error:
        if debug:
            raise
        print(f"reidkit: {_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if debug or error.filename is None:
            _unexpected(error, debug)
        where = _line(str(error.filename))[:200]
        print(
            f"reidkit: '{where}' can't be used: {error.strerror}. Check that it is there and that you may read and "
            "write it (`reidkit --debug …` shows where).",
            file=sys.stderr,
        )
        sys.exit(1)
    except Exception as error:
        _unexpected(error, debug)


def _run(arguments: list[str]) -> int | None:
    """Runs a command; where it lacks weights that somebody at the terminal then has fetched, once more.

    Outside its stand-alone mode click returns the status of `context.exit(status)`; a command returns None.
    """
    offered: set[str] = set()
    while True:
        try:
            return group.main(args=list(arguments), prog_name="reidkit", standalone_mode=False)
        except MissingWeights as error:
            from .weights import offer

            if offered >= set(error.names) or not offer(error):
                raise
            offered |= set(error.names)


def _line(text: str) -> str:
    """One line, fit for a terminal, whatever the text holds."""
    return printable(" ".join(text.split("\n")).replace("\t", ""))


def _unexpected(error: BaseException, debug: bool) -> NoReturn:
    """An error that nobody foresaw: exit code 1."""
    if debug:
        raise error
    text = f"unexpected {type(error).__name__}: {error} (a bug; `reidkit --debug …` shows where)"
    print(f"reidkit: {_line(text)}", file=sys.stderr)
    sys.exit(1)
