"""How far the clocks of two recordings of one event are apart, from their soundtracks.

    one, other = loudness(path_one), loudness(path_other)       # None where there is no sound
    clock = sound_clock(one, other)                             # offset and drift of the second beside the first

What is compared is where sound sets in, a hundred times a second: microphones differ in what they hear, but a shot, a
whistle or a beat begins at the same moment, but for 3 ms a metre. The offset is found on the whole, then again in
windows spread over the take, through which a line is laid; it is refused where the windows don't lie on it.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from scipy.signal import correlate, correlation_lags
from scipy.stats import theilslopes

RATE = 100  # values a second
HEARD = 8_000  # samples a second
LONGEST = 300.0  # seconds that two recordings may be apart
WINDOW = 20.0  # seconds; a quarter of what both recorded where that is less
WINDOWS = 12
NEAR = 1.0  # seconds about the offset of the whole in which a window's is looked for
ALIKE = 0.2  # least correlation of a window that counts
ON_LINE = 0.04  # seconds
LEAST_SHARE = 0.6  # of the windows
FEWEST = 3
SHORTEST = 4.0  # seconds that both recorded
DRIFT_FROM = 60.0  # seconds between the first and the last window


@dataclass(frozen=True)
class SoundClock:
    """`time + offset + drift * time` of the second recording is the first one's time.

    Attributes:
        offset: seconds; drift: seconds a second; error: seconds, of the windows about the line.
        windows, agreeing: number that were compared, and that lie on the line.
    """

    offset: float
    drift: float
    error: float
    windows: int
    agreeing: int

    @property
    def holds(self) -> bool:
        return self.agreeing >= max(FEWEST, LEAST_SHARE * self.windows)


def loudness(path: Path) -> np.ndarray | None:
    """[T] by how much the sound grew, RATE values a second from the video's first frame on; None: there is no sound."""
    energy = np.zeros(RATE * 60)
    last = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                return None
            video = container.streams.video[0] if container.streams.video else None
            begin = 0.0
            if video and video.start_time is not None and video.time_base:
                begin = float(video.start_time * video.time_base)
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=HEARD)
            for frame in container.decode(container.streams.audio[0]):
                for part in resampler.resample(frame):
                    if part.pts is None or part.time_base is None:
                        continue
                    samples = np.diff(part.to_ndarray()[0].astype(np.float64))
                    place = (float(part.pts * part.time_base) - begin) * RATE + np.arange(len(samples)) * RATE / HEARD
                    place = np.floor(place).astype(np.int64)
                    inside = (place >= 0) & np.isfinite(samples)
                    if not inside.any():
                        continue
                    last = max(last, int(place[inside].max()) + 1)
                    if last > len(energy):
                        energy = np.concatenate([energy, np.zeros(max(last - len(energy), len(energy)))])
                    first = int(place[inside].min())
                    added = np.bincount(place[inside] - first, samples[inside] ** 2)
                    energy[first : first + len(added)] += added
    except (av.FFmpegError, OSError, ValueError):
        pass  # a damaged soundtrack counts as far as it can be heard
    if last < SHORTEST * RATE:
        return None
    heard = energy[:last]
    level = np.log(heard + 1e-3 * heard.mean() + 1e-12)
    return np.maximum(np.diff(level, prepend=level[0]), 0)


def sound_clock(one: np.ndarray, other: np.ndarray) -> SoundClock | None:
    """The second recording's clock beside the first's; None where they have too little in common to compare."""
    whole = _lag(one, other, 0, int(LONGEST * RATE))
    if whole is None:
        return None
    lag = whole[0]
    first, last = max(0, int(-lag)), min(len(other), len(one) - int(lag))
    size = int(min(WINDOW * RATE, (last - first) // 4))
    if size < SHORTEST * RATE / 4:
        return None
    starts = np.unique(np.linspace(first, last - size, WINDOWS).astype(np.int64))
    times, lags = [], []
    for start in starts.tolist():
        part = other[start : start + size]
        near = int(NEAR * RATE)
        begin = max(0, start + int(lag) - near)
        found = _lag(one[begin : start + int(lag) + size + near], part, start - begin, None)
        if found is not None and found[1] >= ALIKE:
            times.append((start + size / 2) / RATE)
            lags.append(found[0] / RATE)
    if not times:
        return SoundClock(lag / RATE, 0.0, np.inf, len(starts), 0)
    time, apart = np.array(times), np.array(lags)
    offset, drift = float(np.median(apart)), 0.0
    if np.ptp(time) >= DRIFT_FROM:
        slope, offset = np.asarray(theilslopes(apart, time))[:2].tolist()
        drift = slope
    off = np.abs(apart - offset - drift * time)
    near = off <= ON_LINE
    error = float(1.4826 * np.median(off))
    return SoundClock(offset, drift, error, len(starts), int(near.sum()))


def _lag(one: np.ndarray, other: np.ndarray, start: int, longest: int | None) -> tuple[float, float] | None:
    """(values to add to the second's position to come to the first's, correlation there); None where one is silent.

    Args:
        start: position of `other`'s first value beside `one`'s.
        longest: lags looked at; None: those where `other` lies in `one` as a whole.
    """
    a, b = one - one.mean(), other - other.mean()
    size = np.sqrt((a**2).sum() * (b**2).sum())
    if size < 1e-9 or (longest is None and len(a) < len(b)):
        return None
    mode = "full" if longest is not None else "valid"
    found, lags = correlate(a, b, mode, "fft"), correlation_lags(len(a), len(b), mode)
    if longest is not None:
        found, lags = found[np.abs(lags) <= longest], lags[np.abs(lags) <= longest]
    else:  # of each place, beside the loudness of that place
        power = np.convolve(a**2, np.ones(len(b)), "valid")
        found = found / np.sqrt(np.maximum(power * (b**2).sum(), 1e-12))
        size = 1.0
    k = int(found.argmax())
    top = 0.0
    if 0 < k < len(found) - 1:  # between the values, by a parabola
        left, mid, right = found[k - 1 : k + 2]
        top = 0.5 * (left - right) / (left - 2 * mid + right) if left - 2 * mid + right else 0.0
    return float(lags[k] + top) - start, float(found[k] / size)
