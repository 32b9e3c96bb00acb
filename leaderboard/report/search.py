"""The page of one search: the query and its nearest, each a strip of crops.

    html = gallery_page(gallery, matches, model="resnet50", facts=[("weights", "runs/mars/resnet50/seed0")])

`leaderboard.gallery` makes both, and `reidkit search -o found.html` writes the page.
"""

from collections.abc import Sequence

from ...datasets import Tracklet
from ..gallery import Gallery, Match, identity_of
from .crops import Album, Library, Shot, library_of
from .lists import Block, Ranking
from .page import search_page


def _library(gallery: Gallery) -> Library:
    if gallery.dataset is not None:
        return library_of(gallery.dataset)
    return Library(gallery.source, by_id={t.id: t for t in gallery.tracklets})


def gallery_page(gallery: Gallery, matches: Sequence[Match], model: str, facts: Sequence[tuple[str, str]] = ()) -> str:
    """The page's HTML, whole in one file; `facts` are rows that say how it was made."""
    shelf, album = _library(gallery), Album()

    def shot(tracklet: Tracklet, verdict: str, place: int = 0, distance: float | None = None) -> Shot:
        strip, camera = album.strip(shelf, tracklet), gallery.camera(tracklet)
        distractor = tracklet.kind == "distractor"
        return Shot(tracklet.id, verdict, strip, identity_of(tracklet), distractor, camera, place, distance)

    asked = shot(gallery.query, "query")
    ranking = Ranking(model, None, None, tuple(shot(m.tracklet, m.verdict, m.rank, m.distance) for m in matches))
    notes = [f"Crops that can't be read: {', '.join(sorted(album.broken))}."] if album.broken else []
    if album.left_out:
        notes.append("Pictures stop at 6 MB; tracklets beyond that are shown by their names.")
    title = f"Nearest to {gallery.query.id}"
    return search_page(Block(asked, "", 0.0, (ranking,)), album, title, facts, notes)
