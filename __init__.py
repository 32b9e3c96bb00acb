"""reidkit: raw footage of sports and dance to a video re-ID dataset, to trained models, to a paper's table.

Start with `reidkit demo`, or `reidkit --help` for every command.
"""

__version__ = "0.1.0"
