"""Where people stand: the floor that the cameras of an event share, its clocks, and what both say of who is who.

    floor = find.find_floor(names, tracks, features, known, sounds, FloorSettings())
    floor.evidence              # pairs of tracklets with log-odds, for `linking.link`; None where the floor isn't used
    floor.facts                 # for the manifest

A floor that its own held-out matches don't bear out is not used, and the facts say why.
"""
