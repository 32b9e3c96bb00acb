"""The strict decoder of crops: the same pixels as Pillow's, and no image where bytes are missing."""

import io

import numpy as np
import pytest
from PIL import Image

from reidkit.datasets import Frames, UsageError
from reidkit.datasets.images import crop, decode


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_pixels_are_pillows(make_jpeg, kind, mode):
    data = encoded(Image.open(io.BytesIO(make_jpeg(np.random.default_rng(0), 40, 20))).convert(mode), kind)
    image = decode(data)
    assert (image.dtype, image.shape) == (np.uint8, (40, 20, 3))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    # JPEG decoders may round differently by one or two steps
    np.testing.assert_allclose(image.astype(int), expected, atol=2)


def test_a_turned_camera_turns_nothing():
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to look at it"
    assert decode(encoded(Image.new("RGB", (20, 40)), "JPEG", exif=exif)).shape == (40, 20, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_every_cut_is_seen(make_jpeg, kind):
    whole = encoded(Image.open(io.BytesIO(make_jpeg(np.random.default_rng(0), 40, 20))), kind)
    for cut in range(0, len(whole) - 1, 7):
        assert decode(whole[:cut]) is None
    assert decode(whole[:-1]) is None


def test_no_image_and_a_giant():
    assert decode(b"no image") is None
    giant = encoded(Image.new("L", (8, 8)), "PNG")
    assert decode(giant.replace((8).to_bytes(4) * 2, (1 << 30).to_bytes(4) * 2)) is None


def test_a_damaged_crop_is_named(tmp_path, make_jpeg):
    data = make_jpeg(np.random.default_rng(0))
    (tmp_path / "a.tar").write_bytes(b"head" + data + b"noise")
    frames = Frames((f"{tmp_path}/a.tar",), (4, 4 + len(data)), (len(data), 5))
    assert np.array_equal(crop(frames, 0), decode(data))
    with pytest.raises(UsageError, match=rf"Frame 1 .*a\.tar' at byte {4 + len(data)}\) is no whole JPEG or PNG"):
        crop(frames, 1)
