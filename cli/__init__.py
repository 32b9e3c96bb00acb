"""The command line. It parses and prints; the work stays on the floors below. `main.py` holds the table of commands."""
