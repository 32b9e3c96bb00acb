"""Text from files, made fit for a terminal: `printable("red\\x1b[31m")`."""


def printable(text: str) -> str:
    """`text` in one line, with control characters, escape codes and lone surrogates written as their numbers.

    >>> print(printable("\\x1b[31mred, \\u2028and more"))
    \\x1b[31mred, \\u2028and more
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
