"""The commands that a document shows."""

import re
import shlex
from pathlib import Path


def code_lines(document: Path) -> list[str]:
    """The lines of the document's code blocks, those that end in a backslash joined with the next."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.S | re.M)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def commands(document: Path) -> list[list[str]]:
    """The words behind `reidkit` of every such line in the code blocks, without a comment at its end."""
    found = []
    for line in code_lines(document):
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if "reidkit" in words[:5] and (words[0] == "reidkit" or words[0] == "torchrun"):
            found.append(words[words.index("reidkit") + 1 :])
    return found
