"""Rendered multi-camera footage with ground truth: `reidkit simulate OUT --kind sports --people 10 --cameras 3`.

people -> body (mesh) -> sports or dance (who moves where, how) -> motion (poses) -> camera, scene, render -> truth.
`imitate` draws figures into the boxes of MOTChallenge annotation instead.
"""
