"""Which frames of a video are ruined because a frame that they are decoded from is damaged.

    damage = Damage(dependence([0, 3, 1, 2], keys=[True, False, False, False], alone=[False] * 4))
    damage.mark(3)
    [damage.ruins(number) for number in range(4)]       # [False, True, True, True]

A decoder reports the damaged frame itself and then goes on as if nothing had happened: a flipped bit in a key frame
spoils all pictures up to the next one. What a frame is decoded from isn't known without parsing every codec, so the
worst is assumed: every frame before it in decoding order, back to the last key frame. Frames that are presented before
their key frame, but decoded after it (an open group of pictures), need the group before as well; nothing in their own
group needs them. Neither does anything need a frame that its container calls disposable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Dependence:
    """What is known of each frame; arrays over the frames in order of presentation.

    Attributes:
        position: place in decoding order.
        group: number of key frames up to it, itself included, in decoding order.
        leading: whether it is presented before its group's key frame.
        alone: whether no other frame needs it.
        settled: the frame's fate is known as soon as frame `settled` has come out of the decoder, or a later one.
    """

    position: np.ndarray
    group: np.ndarray
    leading: np.ndarray
    alone: np.ndarray
    settled: np.ndarray


def dependence(order: Sequence[int], keys: Sequence[bool], alone: Sequence[bool]) -> Dependence:
    """What depends on what.

    Args:
        order: the frames in decoding order; each is a number from 0 in order of presentation.
        keys: of the frames in decoding order, whether each is a key frame.
        alone: likewise, whether no other frame needs it.
    """
    order, keys = np.asarray(order, np.int64), np.asarray(keys, bool)
    count = len(order)
    group = np.cumsum(keys)
    leading, settled = np.zeros(count, bool), np.zeros(count, np.int64)
    before = -1  # last frame of the group before
    for places in np.split(np.arange(count), np.flatnonzero(np.diff(group)) + 1) if count else ():
        numbers = order[places]
        leading[places] = keys[places[0]] & (numbers < numbers[0])
        # A frame comes out when all have that it may be decoded from: some of them are presented after it.
        settled[places] = np.maximum.accumulate(numbers)
        settled[places[leading[places]]] = np.maximum(settled[places[leading[places]]], before)
        before = numbers.max()
    inverse = np.argsort(order)
    return Dependence(
        position=inverse,
        group=group[inverse],
        leading=leading[inverse],
        alone=np.asarray(alone, bool)[inverse],
        settled=settled[inverse],
    )


class Damage:
    """What has been found damaged so far, and what that ruins."""

    def __init__(self, frames: Dependence) -> None:
        self.frames = frames
        self._marked: set[int] = set()
        # (group, leading) -> the first damaged place in decoding order
        self._first: dict[tuple[int, bool], int] = {}

    def mark(self, number: int) -> None:
        """Frame `number` came out damaged, or not at all."""
        self._marked.add(number)
        if not self.frames.alone[number]:
            key = int(self.frames.group[number]), bool(self.frames.leading[number])
            place = int(self.frames.position[number])
            self._first[key] = min(self._first.get(key, place), place)

    def ruins(self, number: int) -> bool:
        """Whether frame `number` is damaged, or may have been decoded from one that is."""
        if number in self._marked:
            return True
        group, place = int(self.frames.group[number]), self.frames.position[number]
        if self._first.get((group, False), place) < place:
            return True
        if not self.frames.leading[number]:
            return False
        return self._first.get((group, True), place) < place or (group - 1, False) in self._first
