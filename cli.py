"""The command line: `reidkit COMMAND`. Each command lives beside what it runs and is imported only when called."""

import importlib
import sys
from types import ModuleType

import click

from . import __version__
from .datasets.errors import ReidkitError

# command -> (module:function, what it does)
COMMANDS = {
    "demo": (".demo:demo", "The whole path on simulated footage, in minutes."),
    "simulate": (".toolkit.simulator.command:simulate", "Render multi-camera footage with ground truth."),
    "build-dataset": (".toolkit.commands:build_dataset", "Raw footage to a re-ID dataset."),
    "inspect": (".toolkit.commands:inspect", "What a dataset holds; its contact sheet."),
    "check": (".toolkit.commands:check", "Verify a dataset's files, splits and fingerprint."),
    "caption": (".toolkit.captioning.command:caption", "Write captions for a dataset's people."),
    "run": (".runs:run", "Train and test models on benches."),
    "evaluate": (".runs:evaluate", "Test a trained model, ours or the authors' weights."),
    "embed": (".runs:embed", "Features of a dataset or a folder of crops, as .npz."),
    "search": (".search:search", "Rank a gallery for one tracklet."),
    "explain": (".explain:explain", "Draw what CG-CLIP's tokens look at."),
    "score": (".leaderboard.commands:score", "Score anybody's features under a protocol."),
    "table": (".leaderboard.commands:table", "The paper's tables, ours beside the published."),
    "compare": (".leaderboard.commands:compare", "Is one model significantly better than another?"),
    "report": (".leaderboard.report.command:report", "One self-contained HTML page of all results."),
    "models": (".model_list:models", "The models, their papers and sizes; what they cost here."),
    "benches": (".datasets.commands:benches", "The datasets, their terms, and which are here."),
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
@click.pass_context
def group(context: click.Context, debug: bool) -> None:
    """Raw footage of sports and dance to a re-ID dataset, to trained models, to a paper's table."""
    # The toolkit opens trained runs, but only this floor knows models by name.
    context.obj = model_module


def model_module(name: str) -> ModuleType:
    """The file behind a model's name."""
    from . import zoo

    return zoo.module(name)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 1 failed, 2 wrong usage, 3 done with losses above the threshold."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        group.main(args=arguments, prog_name="reidkit", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except ReidkitError as error:
        if debug:
            raise
        print(f"reidkit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        print(
            f"reidkit: unexpected {type(error).__name__}: {error} (a bug; `reidkit --debug …` shows where)",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
