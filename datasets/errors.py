"""Errors a user sees: one sentence that names the value, what is allowed, and the fix.

`cli.main` prints the sentence and exits with `exit_code`; a traceback appears only under `--debug`.
"""

import difflib
from collections.abc import Iterable


class ReidkitError(Exception):
    """Something failed that the user can mend. Exit code 1."""

    exit_code = 1


class UsageError(ReidkitError):
    """The command or its input is wrong: unknown name, missing folder, bad file. Exit code 2."""

    exit_code = 2


class MissingWeights(UsageError):
    """Weights that `reidkit weights get` can fetch are not on this machine. Made by `training.weights.missing`.

    Attributes:
        names: as `reidkit weights get` takes them; at a terminal, the command line offers to fetch them.
    """

    def __init__(self, sentence: str, names: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.names = names

    def __reduce__(self):
        return type(self), (str(self), self.names)  # another process of a pool may raise it


class LossError(ReidkitError):
    """The work is done, but more was lost on the way than the threshold allows. Exit code 3."""

    exit_code = 3


def choices(value: object, allowed: Iterable[object], what: str) -> str:
    """The sentence for a value that is none of the allowed ones.

    >>> choices("marz", ["mars", "ilids-vid"], "bench")
    "Unknown bench 'marz'. Known: ilids-vid, mars. Did you mean 'mars'?"
    """
    names = sorted(str(name) for name in allowed)
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"Unknown {what} '{value}'. Known: {', '.join(names)}.{hint}"
