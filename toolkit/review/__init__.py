"""What people decide about a build's proposals: the log of decisions, and what they make of the dataset."""
