"""Which cameras filmed which event: layouts, reidkit.toml, and what is refused."""

from pathlib import Path

import pytest

from reidkit.datasets.errors import UsageError
from reidkit.datasets.rights import Rights
from reidkit.toolkit.discover import discover


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def sequence(
    folder: Path, images: bool = True, annotation: bool = True, info: str = "frameRate=25\nseqLength=2"
) -> Path:
    folder.mkdir(parents=True)
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={folder.name}\nimDir=img1\n{info}\nimExt=.jpg")
    if images:
        touch(folder, "img1/000001.jpg", "img1/000002.jpg")
    if annotation:
        (folder / "gt").mkdir()
        (folder / "gt" / "gt.txt").write_text("1, 0, 10, 10, 20, 40, 1, 1, 1\n")
    return folder


def keys(raw: Path) -> list[tuple[str, str]]:
    return [(source.key, source.layout) for source in discover(raw).sources]


def test_events_of_cameras(tmp_path):
    raw = touch(
        tmp_path / "raw", "b/cam1.mkv", "a/cam2.MP4", "a/cam1.mov", ".hidden/cam.mp4", "a/.part.mp4", "a/notes.txt"
    )
    found = discover(raw)
    assert [source.key for source in found.sources] == ["a/cam1", "a/cam2", "b/cam1"]
    assert not found.single_camera
    assert any("notes.txt" in note for note in found.notes)
    assert all(source.truth is None and source.fps is None for source in found.sources)


def test_videos_without_an_event_folder_are_one_event_named_after_the_folder(tmp_path):
    assert keys(touch(tmp_path / "final", "left.mp4", "right.mp4")) == [
        ("final/left", "video"),
        ("final/right", "video"),
    ]


def test_folders_of_images(tmp_path):
    raw = touch(tmp_path / "raw", "a/cam1/1.jpg", "a/cam1/2.jpg", "a/cam2.mp4", "loose/1.png")
    assert keys(raw) == [("a/cam1", "images"), ("a/cam2", "video"), ("raw/loose", "images")]
    found = discover(raw)
    assert found.sources[0].fps == 25.0
    assert any("25 frames a second" in note for note in found.notes)


def test_simulator_truth(tmp_path):
    raw = touch(tmp_path / "raw", "sports-1/cam1.mp4", "sports-1/truth/cam1.txt", "sports-1/cam2.mp4", "truth.json")
    found = discover(raw)
    assert [source.truth for source in found.sources] == [raw / "sports-1" / "truth" / "cam1.txt", None]
    assert found.identities == raw / "truth.json"
    assert found.notes == ()


@pytest.mark.parametrize("split", ["", "train"])
def test_sportsmot_and_dancetrack(tmp_path, split):
    raw = tmp_path / "raw"
    for name in ("v_-6Os86HzwCs_c001", "v_-6Os86HzwCs_c003", "dancetrack0001"):
        sequence(raw / split / name)
    found = discover(raw)
    assert [(s.key, s.layout, s.fps) for s in found.sources] == [
        ("dancetrack0001/camera", "mot", 25.0),
        ("v_-6Os86HzwCs/c001", "mot", 25.0),
        ("v_-6Os86HzwCs/c003", "mot", 25.0),
    ]
    assert found.single_camera
    assert found.sources[1].annotation == raw / split / "v_-6Os86HzwCs_c001" / "gt" / "gt.txt"


def test_one_sequence_by_itself(tmp_path):
    assert keys(sequence(tmp_path / "v_a_c001")) == [("v_a/c001", "mot")]


def test_a_test_sequence_without_annotation_is_a_folder_of_images(tmp_path):
    sequence(tmp_path / "raw" / "dancetrack0003", annotation=False, info="frameRate=20\nseqLength=2")
    (source,) = discover(tmp_path / "raw").sources
    assert (source.key, source.layout, source.fps) == ("dancetrack0003/camera", "images", 20.0)


def test_toml_names_everything(tmp_path):
    raw = touch(tmp_path / "raw", "final/GOPR1.mp4", "final/GOPR2.mp4", "final/still/1.jpg")
    sequence(raw / "take_one")
    sequence(raw / "take_two")
    (raw / "reidkit.toml").write_text(
        """
        single_camera = false
        [cameras]
        GOPR1 = "left"
        "final/GOPR2" = "right"
        [events]
        take_one = "show"
        take_two = "show"
        [offsets]
        "final/left" = -1.25
        right = 2
        [frame_rates]
        still = 50
        [ignore]
        left = [[0, 0, 32, 18.5]]
        [consent]
        show = "given"
        "final/7" = "refused"
        [licence]
        final = "CC-BY-4.0"
        """
    )
    found = discover(raw)
    by_key = {source.key: source for source in found.sources}
    assert sorted(by_key) == ["final/left", "final/right", "final/still", "show/take_one", "show/take_two"]
    assert by_key["final/left"].offset == -1.25
    assert by_key["final/right"].offset == 2.0
    assert by_key["final/still"].fps == 50.0
    assert by_key["final/left"].ignore == ((0.0, 0.0, 32.0, 18.5),)
    assert not found.single_camera
    assert found.notes == ()
    assert found.rights == Rights({"show": "given", "final/7": "refused"}, {"final": "CC-BY-4.0"})


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[cameras\n", "can't be used.*line 1"),
        ("[camera]\ncam1 = 'x'", "Did you mean 'cameras'"),
        ("[cameras]\ncamm1 = 'x'", "Did you mean 'cam1'"),  # a name that no source has
        ("[cameras]\ncam1 = 3", r"\[cameras\]: cam1 = 3, but every line is NAME = \"camera\""),
        ("cameras = 3", "is a table of lines"),
        ("[offsets]\ncam1 = 'late'", "seconds"),
        ("[offsets]\ncam1 = nan", "seconds"),
        ("[offsets]\ncam1 = true", "seconds"),
        ("[frame_rates]\ncam1 = 1e-300", "from 0.1 to 1000"),
        ("[ignore]\ncam1 = 3", "x1 < x2"),
        ("[ignore]\ncam1 = [[10, 0, 5, 5]]", "x1 < x2"),
        ("[ignore]\ncam1 = [1, 2, 3, 4]", "x1 < x2"),
        ("[consent]\na = 'yes'", '"given", "unknown" or "refused"'),
        ("[consent]\nb = 'given'", "Unknown event 'b'. Known: a"),
        ("[licence]\n'a/x' = 'MIT'", "Unknown event 'a/x'"),
        ("[licence]\na = ''", '"licence"'),
        ("single_camera = 'yes'", "true or false"),
        ("[frame_rates]\ncam1 = 25", "Unknown source"),  # a video knows its own
        ("[cameras]\ncam1 = 'cam2'", "Two cameras"),
        ("[cameras]\ncam1 = '../cam'", "can't be the name of a camera"),
        ("[cameras]\ncam1 = ''", "can't be the name of a camera"),
        ('[events]\na = "a\\u001b[31m"', "can't be the name of an event"),
        ("[cameras]\ncam1 = '\udcff'", "can't be used"),
    ],
)
def test_a_bad_toml_is_one_sentence(tmp_path, toml, says):
    raw = touch(tmp_path / "raw", "a/cam1.mp4", "a/cam2.mp4")
    (raw / "reidkit.toml").write_bytes(toml.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=says):
        discover(raw)


def test_two_cameras_of_one_name(tmp_path):
    raw = touch(tmp_path / "raw", "a/cam1.mp4", "a/cam1.mkv")
    with pytest.raises(UsageError, match="cam1") as caught:
        discover(raw)
    assert "cam1.mkv" in str(caught.value)
    assert "reidkit.toml" in str(caught.value)


def test_nothing_to_find(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        discover(tmp_path / "absent")
    file = touch(tmp_path, "cam.mp4") / "cam.mp4"
    with pytest.raises(UsageError, match="is a file"):
        discover(file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="No videos"):
        discover(tmp_path / "empty")
    with pytest.raises(UsageError, match="No videos"):
        discover(touch(tmp_path / "papers", "notes.txt"))


def test_a_sequence_without_its_images_says_where_they_go(tmp_path):
    sequence(tmp_path / "raw" / "v_a_c001", images=False)
    with pytest.raises(UsageError, match=r"no images in 'img1/'.*img1/000001\.jpg"):
        discover(tmp_path / "raw")


@pytest.mark.parametrize("info", ["frameRate=fast", "frameRate=0", "frameRate=1e-300", "seqLength=many", "imDir=/etc"])
def test_a_sequence_with_a_bad_seqinfo(tmp_path, info):
    sequence(tmp_path / "raw" / "v_a_c001", info=info)
    with pytest.raises(UsageError, match=r"seqinfo\.ini"):
        discover(tmp_path / "raw")


def test_a_dataset_built_into_the_raw_folder_is_no_footage(tmp_path):
    raw = touch(tmp_path / "raw", "a/cam1.mp4", "out/dataset.json", "out/sheets/1.jpg")
    found = discover(raw)
    assert [source.key for source in found.sources] == ["a/cam1"]
    assert any("'out' is a built dataset" in note for note in found.notes)


def test_footage_that_lies_too_deep_is_told(tmp_path):
    raw = touch(tmp_path / "raw", "2026/may/cam1.mp4", "a/cam1.mp4")
    found = discover(raw)
    assert [source.key for source in found.sources] == ["a/cam1"]
    assert any("2026/may" in note for note in found.notes)


def test_links_to_a_parent_folder_end(tmp_path):
    """Two of them are 2^40 paths before the system says no."""
    raw = touch(tmp_path / "raw", "a/cam1.mp4")
    for name in ("up", "again"):
        (raw / "a" / name).symlink_to(raw, target_is_directory=True)
    found = discover(raw)
    assert [source.key for source in found.sources] == ["a/cam1"]
    assert [note for note in found.notes if "same folder as 'raw'" in note] == [
        "'a/again' is the same folder as 'raw' and was left out.",
        "'a/up' is the same folder as 'raw' and was left out.",
    ]


def test_a_linked_folder_is_footage_once(tmp_path):
    store = touch(tmp_path / "store", "cam1.mp4")
    (tmp_path / "raw").mkdir()
    for name in ("monday", "tuesday"):
        (tmp_path / "raw" / name).symlink_to(store, target_is_directory=True)
    found = discover(tmp_path / "raw")
    assert [source.key for source in found.sources] == ["monday/cam1"]
    assert any("'tuesday' is the same folder as 'monday'" in note for note in found.notes)


def test_names_that_cannot_be_printed(tmp_path):
    raw = touch(tmp_path / "raw", "a/cam\x1b[31m.mp4")
    with pytest.raises(UsageError, match=r"'cam\\x1b\[31m' can't name.*invisible"):
        discover(raw)
    # Another name in reidkit.toml helps.
    (raw / "reidkit.toml").write_text('[cameras]\n"cam\\u001b[31m" = "cam1"\n')
    assert keys(raw) == [("a/cam1", "video")]


def test_names_of_files_may_be_what_they_are(tmp_path):
    raw = touch(tmp_path / "raw", "a/-take: 1?.mp4", "a/complexity.mp4", f"a/{'long' * 40}.mp4")
    assert len(discover(raw).sources) == 3


def test_the_annotation_that_ships_without_images_is_refused():
    shared = Path(__file__).resolve().parents[2] / ".." / "shared" / "mot" / "sportsmot"
    if not shared.is_dir():
        pytest.skip("no SportsMOT annotation in ../shared")
    with pytest.raises(UsageError, match="no images"):
        discover(shared)
