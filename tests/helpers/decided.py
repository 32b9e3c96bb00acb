"""Decisions of a review, written as the page writes them."""

from pathlib import Path

from reidkit.datasets.decisions import Decision, Draft, open_decisions


def decide(root: Path, *drafts: Draft) -> list[Decision]:
    """Adds what Anna decided to the log of the dataset folder `root`."""
    with open_decisions(root) as log:
        return log.append(*drafts, by="anna", at="2026-11-24T12:00:00Z")
