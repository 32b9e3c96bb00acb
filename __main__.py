"""`python -m reidkit …` is `reidkit …`."""

from .cli import main

main()
