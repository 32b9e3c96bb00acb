"""The decisions of an earlier build on a new one, here one that proposes the same."""

from decided import decide

from reidkit.datasets.decisions import Draft
from reidkit.datasets.own import frame_table, tracklet_table
from reidkit.toolkit.review.carry import carry
from reidkit.toolkit.review.constraints import Reviewed, Shown
from reidkit.toolkit.review.former import read_former


def test_the_caption_written_last_is_carried(root):
    decide(root, *(Draft("caption", ("a",), text=text) for text in ("red", "blue")))
    tracklets, frames = tracklet_table(root), frame_table(root)
    former = read_former(root)
    assert former is not None
    carried = carry(Reviewed(former, {}), tracklets, frames, {id_: Shown({id_: 2}) for id_ in tracklets["id"]})
    assert [(one.tracklets, one.text) for one in carried.decisions] == [(("a",), "blue")]
    assert (carried.held, carried.lost) == (2, ())
