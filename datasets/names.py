"""The one rule for names that become folders, files and table cells, and the nearest of the known names.

Example:

    check_name("sports-vreid", "name of a dataset")
    nearest("marz", ["mars", "ls-vid"])
"""

import difflib
from collections.abc import Iterable

from .errors import UsageError

LONGEST = 100  # letters; with a digest or an ending behind it, a file's name still fits in 255 bytes
RESERVED = frozenset({"complexity"})  # folders of the result store that hold no bench
# What Windows takes for a device, with any ending.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)
_FORBIDDEN = frozenset('/\\:*?"<>|')


def check_name(name: str, what: str) -> str:
    """`name` as it is, if it may become a folder's name on every system.

    Args:
        what: "name of a dataset", for the sentence.

    Raises:
        UsageError: it is empty, over 100 letters or 200 bytes, begins with a dot or a dash, ends with a dot, has a
            blank at an end, holds a separator, a wildcard or an invisible letter, or is reserved, here or on
            Windows.

    >>> check_name("sports-vreid", "name of a dataset")
    'sports-vreid'
    """
    reason = _fault(name)
    if reason:
        shown = name if name.isprintable() and len(name) <= LONGEST else ascii(name)[: LONGEST + 2]
        raise UsageError(
            f"'{shown}' can't be the {what}: {reason}. Letters, digits, '-', '_', '.' and blanks inside are safe, up "
            f"to {LONGEST} of them."
        )
    return name


def _fault(name: str) -> str:
    if not name or name != name.strip():
        return "it is empty, or begins or ends with a blank"
    if len(name) > LONGEST or len(name.encode(errors="replace")) > 2 * LONGEST:
        return f"it is {len(name)} letters long"
    if name[0] in ".-" or name[-1] == ".":
        return "it begins with a dot or a dash, or ends with a dot"
    if not name.isprintable():
        return "it holds an invisible letter"
    if found := sorted(_FORBIDDEN & set(name)):
        return f"it holds {' '.join(found)}"
    if name.lower() in RESERVED:
        return "reidkit keeps that name for itself"
    if name.lower().partition(".")[0].rstrip() in _DEVICES:
        return "Windows keeps that name for a device"
    return ""


def nearest(wanted: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of the known names, the most alike first; the first ones where none is alike.

    >>> nearest("marz", ["mars", "ls-vid"], count=1)
    ['mars']
    """
    names = list(known)
    return difflib.get_close_matches(wanted, names, n=count, cutoff=0.3) or names[:count]
