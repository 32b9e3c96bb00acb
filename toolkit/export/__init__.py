"""A dataset of ours in the formats that others read; one file a format, `export.py` chooses."""
