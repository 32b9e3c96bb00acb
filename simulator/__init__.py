"""Rendered multi-camera footage with ground truth: `reidkit simulate OUT --kind sports --people 10 --cameras 3`.

people -> body (meshes) -> sports or dance (who moves where) -> gait, skeleton (poses) -> camera, scene, render ->
video, truth. `imitate` draws figures into the boxes of MOTChallenge annotation instead.
"""
