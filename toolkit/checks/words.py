"""Words: captions of one person that contradict each other, and captions of nobody."""

from collections.abc import Iterator

from ...datasets.captions import read_captions
from ...datasets.replay import replay_captions
from ..captioning.check import contradictions
from .material import Material, Problem, named


def captions(material: Material) -> Iterator[Problem]:
    """No two captions of an identity contradict, and none is of a tracklet that isn't there."""
    if material.manifest is None or material.reviewed is None:
        return
    read = material.read("captions", lambda: read_captions(material.root))
    who = {id_: one for id_, one, kind in material.reviewed.select("id", "identity", "kind").iter_rows()
           if kind == "person"}  # fmt: skip
    known = set(material.reviewed["id"].to_list())
    strangers = sorted({caption.tracklet for caption in read or () if caption.tracklet not in known})
    if strangers:
        yield Problem("captions", f"{len(strangers)} tracklets of captions aren't there: {named(strangers)}.")
    by_identity: dict[int, list[tuple[str, str]]] = {}
    for caption in replay_captions(read or (), material.decisions or ()):
        if caption.tracklet in who:
            by_identity.setdefault(who[caption.tracklet], []).append((caption.tracklet, caption.text))
    for identity, texts in sorted(by_identity.items()):
        doubts = {id_: reasons for id_, reasons in contradictions(texts).items() if reasons}
        if doubts:
            ids = sorted(doubts)
            first = doubts[ids[0]][0]
            yield Problem("captions", f"Captions of identity {identity} contradict: '{ids[0]}' {first}.", tuple(ids))
