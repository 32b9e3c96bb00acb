"""CLIP-Memory against loops."""

import pytest
import torch

from reidkit.baselines.clip_memory import follow, identity_memory


def slow_memory(features, labels, num_classes, frames):
    """Frame -> clip -> tracklet -> identity; a clip that is too short cycles its own frames."""
    rows = []
    for y in range(num_classes):
        tracklets = []
        for feature, label in zip(features, labels, strict=True):
            if label != y:
                continue
            clips = []
            for start in range(0, len(feature), frames):
                own = feature[start : start + frames]
                clips.append(sum(own[i % len(own)] for i in range(frames)) / frames)
            tracklets.append(sum(clips) / len(clips))
        rows.append(sum(tracklets) / len(tracklets))
    return torch.stack(rows)


def test_memory_equals_the_loop():
    lengths, labels = [8, 1, 11, 3, 16], [0, 2, 1, 0, 1]  # exact clips, one frame, a rest
    features = [torch.randn(n, 6) for n in lengths]
    torch.testing.assert_close(identity_memory(features, labels, 3, 4), slow_memory(features, labels, 3, 4))


def test_a_class_without_tracklets_is_named():
    with pytest.raises(ValueError, match=r"classes \[1\]"):
        identity_memory([torch.randn(2, 3)], [0], 2, 4)


def test_follow_moves_the_rows_of_the_batch_only():
    memory, videos = torch.randn(4, 3), torch.randn(5, 3)
    labels = torch.tensor([2, 0, 2, 2, 0])
    expected = memory.clone()
    for y in (0, 2):
        expected[y] = 0.8 * memory[y] + 0.2 * videos[labels == y].mean(0)
    follow(memory, videos, labels, momentum=0.8)
    torch.testing.assert_close(memory, expected)
