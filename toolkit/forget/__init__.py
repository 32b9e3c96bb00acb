"""A person taken out of a dataset: who goes along, the log without them, and the exchange of the files."""
