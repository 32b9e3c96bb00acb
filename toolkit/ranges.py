"""Settings are checked when they are made, before any work: `check_range("--max-loss", 1.5, 0, 1)`."""

from ..datasets import UsageError


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Does nothing where `low <= value <= high`.

    Args:
        name: of the option or setting, for the sentence.

    Raises:
        UsageError: the value lies outside, or is no number (NaN).
    """
    if not low <= value <= high:
        raise UsageError(f"{name} {value} is out of range: give a number from {low} to {high}.")
