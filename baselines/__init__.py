"""The compared models, one file each, and the backbones they share."""
