"""Clocks from soundtracks."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reidkit.toolkit.floor.sound import RATE, loudness, sound_clock


def bangs(seconds: float, offset: float = 0.0, drift: float = 0.0, seed: int = 0, own: int = 0) -> np.ndarray:
    """Loudness as `loudness` gives it of sounds at random moments, heard on a clock that is wrong by that much, with
    some that only this camera hears."""
    found = np.random.default_rng(own + 100).random(int(seconds * RATE)) * 0.5
    rng = np.random.default_rng(seed)
    for moment, loud in zip(rng.uniform(0, seconds, int(seconds)), rng.uniform(1, 5, int(seconds)), strict=True):
        at = ((moment - offset) / (1 + drift)) * RATE
        low = int(np.floor(at))
        for place, share in ((low, 1 - at + low), (low + 1, at - low)):
            if 0 <= place < len(found):
                found[place] += loud * share
    return found


def test_offset_and_drift_are_found() -> None:
    clock = sound_clock(bangs(600), bangs(600, offset=2.5, drift=200e-6, own=1))
    assert clock is not None
    assert clock.holds
    assert clock.offset == pytest.approx(2.5, abs=0.01)
    assert clock.drift == pytest.approx(200e-6, abs=20e-6)


def test_an_offset_in_short_takes() -> None:
    clock = sound_clock(bangs(20), bangs(20, offset=-1.3, own=1))
    assert clock is not None
    assert clock.holds
    assert clock.offset == pytest.approx(-1.3, abs=0.01)
    assert clock.drift == 0


def test_other_sounds_are_refused() -> None:
    clock = sound_clock(bangs(120), bangs(120, seed=5, own=1))
    assert clock is None or not clock.holds


def test_silence_says_nothing() -> None:
    assert sound_clock(bangs(60), np.zeros(6000)) is None


def write_sound(path: Path, samples: np.ndarray, rate: int = 16_000) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for k in range(0, len(samples), 1024):
            part = (samples[k : k + 1024] * 20_000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, k, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_sound_is_read_from_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=16_000 * 12) * 0.01
    moments = [1.0, 3.37, 7.5, 10.21]
    for moment in moments:
        at = int(moment * 16_000)
        samples[at : at + 800] += rng.normal(size=800) * 0.4
    write_sound(tmp_path / "a.wav", samples)
    found = loudness(tmp_path / "a.wav")
    assert found is not None
    assert len(found) == pytest.approx(12 * RATE, abs=2)
    loudest = np.sort(np.argsort(-found)[:4]) / RATE
    np.testing.assert_allclose(loudest, moments, atol=0.02)


def test_a_video_without_sound_has_none(tmp_path: Path, make_video) -> None:
    assert loudness(make_video(tmp_path / "a.mp4", frames=5)) is None
