"""The floor of one event: found or given, checked, and what it says of pairs of tracklets.

    floor = find_floor(names, tracks, features, known, sounds, offsets, FloorSettings())
    floor.evidence, floor.facts, floor.frame

Where something doesn't hold the floor isn't used, and `facts["note"]` says why.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ..linking import Evidence
from .clocks import checked
from .evidence import fit_distances, weigh
from .feet import STEP, Feet, FootTrack, beside, none_of, resample
from .frame import Frame, common_floor, oriented, settled
from .homography import agreeing, disagreement
from .matches import Matches
from .pairs import LEAST_SHARE, Pair, join, moments_of
from .settings import FloorSettings
from .sound import SoundClock, sound_clock

MOST_TRACKLETS = 6_000  # that homographies and clocks are found from; of more, those of stretches spread over the event
STRETCHES = 24
NEAR = 3.0  # log-odds of two tracklets that are taken to be one person in refining floor and clocks


@dataclass(frozen=True)
class Floor:
    """What is known of an event's floor.

    Attributes:
        frame: where the cameras' pixels lie, and the clocks; None where that isn't known.
        evidence: of pairs of tracklets; None where the floor isn't used.
        facts: for the manifest (docs/format.md).
        tracks: as given, on the clocks that the soundtracks have.
        clocks: camera -> offset in seconds and drift in seconds a second, which `time + offset + drift * time` corrects
            the given clock by; none for cameras that are not on the floor.
    """

    frame: Frame | None
    evidence: Evidence | None
    facts: dict
    tracks: Sequence[FootTrack] = ()
    clocks: Mapping[int, tuple[float, float]] = field(default_factory=dict)


def find_floor(
    names: Sequence[str],
    tracks: Sequence[FootTrack],
    features: np.ndarray,
    known: Mapping[int, np.ndarray],
    sounds: Sequence[np.ndarray | None],
    offsets: Sequence[float],
    settings: FloorSettings,
) -> Floor:
    """The floor of an event and what it says.

    Args:
        names: of the cameras.
        tracks: of each tracklet, on the event's clock.
        features: [N, D] of `observations.camera_centred`.
        known: camera -> homography from pixels to metres, as reidkit.toml has it.
        sounds: of each camera, `sound.loudness`; None where there is none.
        offsets: of each camera, the seconds that were added to its own times.
    """
    cameras = len(names)
    if settings.use == "off" or cameras < 2 or not tracks:
        why = "switched off" if settings.use == "off" else "one camera" if cameras < 2 else "nobody is followed"
        return Floor(None, None, {"used": False, "note": why})
    heard = _heard(sounds, offsets)
    by_sound = {camera: (clock.offset, clock.drift) for camera, clock in heard.items() if clock.holds}
    tracks = _corrected(tracks, by_sound)
    some = _spread(tracks)
    longest = int(settings.longest_offset / STEP)
    feet = resample(some)
    pairs = [join(feet, features, a, b, longest) for a, b in itertools.combinations(range(cameras), 2)]
    facts = {"used": False, "note": "", "pairs": [_pair_facts(names, pair) for pair in pairs]}
    if heard:
        facts["sound"] = {names[c]: _sound_facts(clock) for c, clock in heard.items()}
    known = {camera: oriented(matrix, feet.point[feet.camera == camera]) for camera, matrix in known.items()}
    wrong = _contradicted(feet, pairs, known)
    known = {} if wrong else known
    # The first camera with sound is the clock of those whose sound agrees with it.
    first = next((camera for camera, sound in enumerate(sounds) if sound is not None), 0)
    heard_well = {*by_sound, first} if by_sound else set()
    movable = set(range(cameras)) - heard_well if longest else set()
    frame = common_floor(some, pairs, known, cameras, movable, min(heard_well, default=None))
    if frame is None:
        held = "no two cameras have matches that agree on a floor when they are held out"
        return Floor(None, None, facts | {"note": f"{wrong}; {held}" if wrong else held})
    frame = replace(frame, used=_matched_again(some, frame) or frame.used)
    frame = settled(some, frame, known, movable & set(frame.on_floor) - {frame.home})
    notes = checked(some, frame, known, movable)
    kept = {camera for camera, note in notes.items() if not note}
    if any(notes.values()):
        right = np.isin(np.arange(cameras), sorted(kept))
        frame = replace(frame, offset=frame.offset * right, drift=frame.drift * right)
        frame = settled(some, frame, known, kept)
    feet = resample(tracks, frame.offset, frame.drift)
    model = fit_distances(feet, frame)
    clocks = {camera: _total(by_sound.get(camera, (0.0, 0.0)), frame, camera) for camera in frame.on_floor}
    says = {camera: note or "feet" for camera, note in notes.items()} | dict.fromkeys(by_sound, "sound")
    facts |= {"note": wrong, "cameras": _camera_facts(names, frame, known, clocks, says | {frame.home: "reference"})}
    if model is None:
        return Floor(frame, None, facts | {"note": wrong or "nobody is seen beside anybody"}, tracks, clocks)
    evidence = weigh(feet, frame, model)
    facts |= {"used": True, "distances": _rounded(asdict(model)), "pairs_weighed": len(evidence.first)}
    return Floor(frame, evidence, facts, tracks, clocks)


def _matched_again(tracks: Sequence[FootTrack], frame: Frame) -> list[Pair]:
    """For each two cameras on the floor the pairs of tracklets that stand at one place: more than looks alone found."""
    feet = resample(tracks, frame.offset, frame.drift)
    model = fit_distances(feet, frame)
    if model is None:
        return []
    evidence = weigh(feet, frame, model)
    camera = np.array([track.camera for track in tracks])
    near = evidence.log_odds >= NEAR
    first, second, odds = evidence.first[near], evidence.second[near], evidence.log_odds[near]
    turned = camera[first] > camera[second]
    first, second = np.where(turned, second, first), np.where(turned, first, second)
    found = []
    for a, b in itertools.combinations(sorted(frame.on_floor), 2):
        rows = np.flatnonzero((camera[first] == a) & (camera[second] == b))
        rows = rows[np.lexsort((second[rows], first[rows]))]
        matches = Matches(first[rows], second[rows], odds[rows])
        found.append(Pair(a, b, np.eye(3), 0, matches, np.ones(len(rows), bool), 0, 0, 0.0))
    return found


def _heard(sounds: Sequence[np.ndarray | None], offsets: Sequence[float]) -> dict[int, SoundClock]:
    """Camera -> its clock beside the first camera that has sound, on the event's clock; without that camera."""
    loud = {camera: sound for camera, sound in enumerate(sounds) if sound is not None}
    first = min(loud, default=0)
    found = {}
    for camera, sound in loud.items():
        clock = sound_clock(loud[first], sound) if camera != first else None
        if clock is not None:  # of the recordings' own times
            offset = clock.offset + offsets[first] - offsets[camera] * (1 + clock.drift)
            found[camera] = replace(clock, offset=offset)
    return found


def _corrected(tracks: Sequence[FootTrack], clocks: Mapping[int, tuple[float, float]]) -> list[FootTrack]:
    found = []
    for track in tracks:
        offset, drift = clocks.get(track.camera, (0.0, 0.0))
        found.append(replace(track, time=track.time + offset + drift * track.time))
    return found


def _total(sound: tuple[float, float], frame: Frame, camera: int) -> tuple[float, float]:
    """Offset and drift of the soundtrack's correction followed by that of the feet."""
    offset, drift = float(frame.offset[camera]), float(frame.drift[camera])
    return sound[0] + offset + drift * sound[0], sound[1] + drift + drift * sound[1]


def _spread(tracks: Sequence[FootTrack]) -> list[FootTrack]:
    """All tracks of a short event; of a long one those within stretches of time, the others without feet."""
    if len(tracks) <= MOST_TRACKLETS:
        return list(tracks)
    middle = np.array([track.time.mean() if len(track.time) else np.nan for track in tracks])
    begin, end = np.nanmin(middle), np.nanmax(middle)
    share = MOST_TRACKLETS / len(tracks)
    place = (middle - begin) / max(end - begin, 1e-9) * STRETCHES
    kept = (place % 1.0) < share
    return [track if keep else none_of(track) for track, keep in zip(tracks, kept.tolist(), strict=True)]


def _contradicted(feet: Feet, pairs: Sequence[Pair], known: Mapping[int, np.ndarray]) -> str:
    """Why the given floors are not believed; "" where nothing speaks against them.

    Two given cameras whose own matches hold must put the same feet to the same place.
    """
    for pair in pairs:
        if not (pair.holds and pair.a in known and pair.b in known):
            continue
        kept = pair.matches.rows(np.flatnonzero(pair.agrees))
        moments = moments_of(feet, kept, *beside(feet, pair.a, pair.b, pair.shift))
        matrix = np.linalg.inv(known[pair.b]) @ known[pair.a]
        one, other = moments.one, moments.other
        error = disagreement(matrix, feet.point[one], feet.point[other], feet.height[one], feet.height[other])
        agreed = agreeing(moments.match, error)
        if agreed.mean() < LEAST_SHARE:
            return (
                f"the floors given in reidkit.toml are not used: of {len(agreed)} people whom two cameras see, "
                f"{int(agreed.sum())} stand at one place on them"
            )
    return ""


def _pair_facts(names: Sequence[str], pair: Pair) -> dict:
    return {
        "cameras": [names[pair.a], names[pair.b]],
        "matches": pair.tried,
        "agreed": pair.agreed,
        "by_chance": round(pair.chance, 3),
        "holds": pair.holds,
    }


def _sound_facts(clock: SoundClock) -> dict:
    return {
        "offset": round(clock.offset, 3),
        "drift_ppm": round(clock.drift * 1e6, 1),
        "windows": clock.windows,
        "agreeing": clock.agreeing,
        "holds": clock.holds,
    }


def _camera_facts(
    names: Sequence[str],
    frame: Frame,
    known: Mapping[int, np.ndarray],
    clocks: Mapping[int, tuple[float, float]],
    says: Mapping[int, str],
) -> dict:
    facts = {}
    for camera in sorted(frame.on_floor):
        matrix = frame.on_floor[camera]
        facts[names[camera]] = {
            "floor": "given" if camera in known else "found",
            "homography": [[float(f"{value:.6g}") for value in row] for row in (matrix / matrix[2, 2]).tolist()],
            "offset": round(clocks[camera][0], 3),
            "offset_error": round(float(frame.offset_error[camera]), 3),
            "drift_ppm": round(clocks[camera][1] * 1e6, 1),
            "drift_error_ppm": round(float(frame.drift_error[camera]) * 1e6, 1),
            "clock": says.get(camera, "as given"),
        }
    return facts


def _rounded(values: dict) -> dict:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
