"""Raw footage to a dataset."""
