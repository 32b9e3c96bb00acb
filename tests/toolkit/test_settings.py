"""Settings are checked when they are made."""

import pytest

from reidkit.datasets import UsageError
from reidkit.toolkit.purify import PuritySettings
from reidkit.toolkit.settings import EventSettings, FootageSettings


@pytest.mark.parametrize(
    ("kind", "wrong", "sentence"),
    [
        (
            FootageSettings,
            {"tracker": "sort"},
            "'tracker', which takes one of looks, bytetrack, ocsort, botsort, cbiou, mcbyte",
        ),
        (FootageSettings, {"confidence": 1.5}, "'confidence', which takes none or a number from 0 to 1"),
        (FootageSettings, {"min_height": -1}, "'min_height'"),
        (FootageSettings, {"max_length": 0}, "'max_length', which takes none or a number above 0"),
        (FootageSettings, {"stride": float("nan")}, "'stride'"),
        (FootageSettings, {"segment_seconds": 0}, "'segment_seconds', which takes a number from 0.1"),
        (FootageSettings, {"jpeg_quality": 101}, "'jpeg_quality', which takes a whole number from 1 to 100"),
        (EventSettings, {"nested": 1.1}, "'nested', which takes a number from 0 to 1"),
        (EventSettings, {"min_crops": 0}, "'min_crops', which takes a whole number from 1"),
        (EventSettings, {"link": {"people": 3}}, "'link'"),
        (PuritySettings, {"least": 0}, "'least'"),
        (PuritySettings, {"quantile": -0.5}, "'quantile'"),
    ],
)
def test_values_out_of_range(kind, wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        kind(**wrong)
