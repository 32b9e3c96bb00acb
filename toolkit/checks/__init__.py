"""What `reidkit check` looks at, a file a subject; `toolkit/check.py` has the list."""
