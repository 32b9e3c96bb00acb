"""`python -m reidkit …` is `reidkit …`."""

from .cli.main import main

main()
