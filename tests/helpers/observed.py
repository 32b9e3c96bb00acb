"""Made-up tracklets for linking, and the plain rule for which of them are two people."""

import itertools

import numpy as np

from reidkit.toolkit.linking import Observations


def observe(features, camera, start, end, must=None, annotated=None):
    features = np.asarray(features, float)
    n = len(features)
    return Observations(
        features=features / np.linalg.norm(features, axis=1, keepdims=True),
        camera=np.asarray(camera),
        start=np.asarray(start, float),
        end=np.asarray(end, float),
        weight=np.ones(n),
        must=np.full(n, -1) if must is None else np.asarray(must),
        annotated=np.full(n, -1) if annotated is None else np.asarray(annotated),
    )


def made_up_event(people, cameras, seed, *, view=0.7, pieces=3, cast=0.8, absent=0.0):
    """People seen by every camera in pieces of a 30 s take; each camera has a cast, and all have much in common."""
    rng = np.random.default_rng(seed)
    common, person, tint = 2 * rng.normal(size=64), rng.normal(size=(people, 64)), cast * rng.normal(size=(cameras, 64))
    rows = []
    for who in range(people):
        for camera in range(cameras):
            if rng.random() < absent:
                continue
            edges = [0.0, *np.sort(rng.random(rng.poisson(pieces))) * 30, 30.0]
            for start, end in itertools.pairwise(edges):
                if end - start > 0.4:
                    noise = (view + 0.6 / np.sqrt(end - start)) * rng.normal(size=64)
                    rows.append((common + person[who] + tint[camera] + noise, camera, start, end - 0.2, who))
    features, camera, start, end, who = zip(*rows, strict=True)
    return observe(np.array(features), camera, start, end), np.array(who)


def forbidden_pairs(seen, overlap):
    """[N, N] bool, pair by pair: seen together in one camera for more than a handover, or two ids of one annotation."""
    n = len(seen.camera)
    found = np.zeros((n, n), bool)
    for i, j in itertools.permutations(range(n), 2):
        together = min(seen.end[i], seen.end[j]) - max(seen.start[i], seen.start[j])
        shorter = min(seen.end[i] - seen.start[i], seen.end[j] - seen.start[j])
        beside = seen.camera[i] == seen.camera[j] and together > min(overlap, shorter / 2)
        found[i, j] = beside or (seen.annotated[i] == seen.annotated[j] >= 0 and seen.must[i] != seen.must[j])
    return found
