"""What one publishes beside a dataset: its metadata for machines, and its card for people."""
