"""The picture of CG-CLIP's tokens."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from reidkit.cgclip import model as cgclip
from reidkit.cgclip.drawing import BACKGROUND, GAP, LABEL, MARGIN, TEXT, draw_attention, draw_tokens, heat
from reidkit.datasets import Frames, Tracklet, UsageError
from reidkit.training.run_folder import RunFacts, TrainedOn
from reidkit.training.trained import Trained


def test_heat_shows_where_the_attention_is() -> None:
    crop = np.full((64, 32, 3), 90, np.uint8)
    weights = np.zeros((4, 2))
    weights[3, 1] = 0.2  # the lower right corner
    shown = heat(crop, weights, peak=0.2).astype(int)
    assert shown[60, 28].sum() > shown[4, 4].sum() + 100
    assert (shown[:16, :8] == 90).all()  # where there is none, the grey crop stays
    assert (heat(crop, np.zeros((4, 2)), peak=0.0) == 90).all()  # a token that looks at class tokens only


@pytest.mark.parametrize(("tokens", "frames", "height"), [(1, 1, 32), (8, 4, 96), (32, 2, 64)])
def test_picture_has_a_row_a_token_and_a_column_a_frame(tokens: int, frames: int, height: int) -> None:
    rng = np.random.default_rng(0)
    crops = np.full((frames, 3, 128, 64), 200, np.uint8)
    maps = rng.random((tokens, frames, 16, 8))
    columns = [f"frame {i}" for i in range(frames)]
    picture = draw_attention(crops, maps, rng.random((tokens, frames)), columns, "title", height)
    width = height // 2
    pixels = np.asarray(picture)
    step = height + TEXT + 2 * GAP
    top = MARGIN + 3 * TEXT
    for row in range(tokens + 1):
        for column in range(frames):
            left = MARGIN + LABEL + column * (width + GAP)
            cell = pixels[top + row * step : top + row * step + height, left : left + width]
            assert (cell != BACKGROUND).any(-1).all()
            assert (cell == 200).all() == (row == 0)  # the first row is the crops, the others are under heat
    assert (pixels[: MARGIN + TEXT] != BACKGROUND).any()  # the title


def test_a_tracklet_is_read_and_drawn(tmp_path, recipe) -> None:
    rng = np.random.default_rng(0)
    files = tuple(str(tmp_path / f"{index}.png") for index in range(7))
    for file in files:
        Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(file)
    tracklet = Tracklet("p1-c0", 1, 0, Frames(files))
    torch.manual_seed(0)
    facts = RunFacts("", "cgclip", "tiny", {}, 3, 2, TrainedOn("made-up", ""))
    trained = Trained(cgclip.build(recipe, 3, 2).eval(), recipe, facts, cgclip, tmp_path)
    found = draw_tokens(trained, tracklet, frames=4, height=64)
    assert len(found.frames) == 4
    assert found.shares.shape == (3, 4)
    np.testing.assert_allclose(found.shares.sum(1), 1, atol=1e-4)
    assert draw_tokens(trained, tracklet).frames == draw_tokens(trained, tracklet, frames=recipe.test_frames).frames
    bare = cgclip.build(recipe.changed(tfe=False), 3, 2).eval()
    without = Trained(bare, recipe, replace(facts, model="cgclip/no-tfe"), cgclip, tmp_path)
    with pytest.raises(UsageError, match=r"cgclip/no-tfe has no TFE"):
        draw_tokens(without, tracklet)
