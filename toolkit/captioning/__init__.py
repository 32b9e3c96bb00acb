"""Captions for a dataset's people: `reidkit caption DIR --captioner KIND`."""
