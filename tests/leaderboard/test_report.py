"""The report's content: curves, lists, matrices, what is left out, and that the page is whole and escaped."""

import dataclasses
import io
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from reidkit.cli.report import report
from reidkit.datasets import Frames, ReidDataset, Tracklet
from reidkit.datasets.format import IDENTITIES, IDENTITY_COLUMNS, TRACKLETS
from reidkit.datasets.heads import cover_by_proportion
from reidkit.datasets.own import read_dataset
from reidkit.leaderboard.protocols import PROTOCOLS
from reidkit.leaderboard.report import crops, data, lists
from reidkit.leaderboard.report.curves import chart, cmc
from reidkit.leaderboard.report.page import reliability_picture, report_page
from reidkit.leaderboard.results import PairRow, QueryRow, save_result
from reidkit.leaderboard.tables import setting_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("ranks", "splits"),
    [
        ([1, 1, 3, 50], [0, 0, 0, 0]),
        ([51, 900], [0, 0]),  # nothing within the curve
        ([1, 2, 7], [0, 1, 1]),  # of unequal splits the mean, each counting once
    ],
)
def test_cmc_against_its_slow_twin(ranks, splits):
    rows = [QueryRow("q", 1, 50.0, r, [], s) for r, s in zip(ranks, splits, strict=True)]
    for k, value in enumerate(cmc(rows), start=1):
        shares = []
        for split in set(splits):
            mine = [r for r, s in zip(ranks, splits, strict=True) if s == split]
            shares.append(100 * sum(r <= k for r in mine) / len(mine))
        assert value == pytest.approx(sum(shares) / len(shares))


def test_curves_pass_through_the_stored_figures(scored):
    result = scored()
    section = data.gather([result]).sections[0]
    values = section.chart.curves[0].values
    for k in (1, 5, 10, 20):
        assert values[k - 1] == pytest.approx(result.metrics[f"R{k}"])
    assert len(values) == 50
    assert section.chart.curves[0].points.count(",") == 50


def test_what_a_dataset_of_ours_says_of_itself(tmp_path, write_own, own_rows, scored):
    manifest = {
        "format": 1,
        "sources": [{"event": "final", "camera": "east", "seconds": 90}, {"event": "heat", "camera": "east"}],
        "split": {"by": "event"},
        "scores": {"hota": 0.31, "sources": 6, "idf1": None},
    }
    rows = (*own_rows, ("j", -1, "junk", "east", "final", "train"))
    library = crops.library_of(read_dataset(write_own(tmp_path / "mine", rows, manifest=manifest)))
    facts = data._facts(setting_of(scored()), library)
    assert facts.parts[0] == ("train", 2, 3, 15)
    assert dict(facts.lines) == {
        "cameras": "east, north, west",
        "crops a tracklet": "5 to 5, median 5",
        "junk tracklets in the test set": "1",
        "distractor tracklets in the test set": "1",
        "training tracklets of nobody, left out": "1",
        "footage": "2 sources, 1.5 minutes",
        "train and test divided by": "event",
        "build: raw hota": "0.310",
    }


def test_how_sure_a_build_was_is_drawn_where_its_truth_is_known(tmp_path, write_own, own_rows, scored):
    root = write_own(tmp_path / "mine", own_rows, manifest={"format": 1})
    library = crops.library_of(read_dataset(root))
    assert data._reliability(library) is None  # the table isn't there
    table = pl.read_parquet(root / TRACKLETS)
    people = table.filter(kind="person").select("event", "identity").unique().sort("event", "identity")
    sure = people.with_columns(pure=0.9, whole=0.4, twin=None, same=None)
    sure.select(pl.col(name).cast(kind) for name, kind in IDENTITY_COLUMNS.items()).write_parquet(root / IDENTITIES)
    assert data._reliability(library) is None  # nobody knows the truth
    known = table.with_columns(confidence=pl.lit(0.7, pl.Float32), truth=pl.col("identity"))
    known.write_parquet(root / TRACKLETS)
    found = data._reliability(library)
    assert [(line.curve.label, line.curve.right) for line in found.lines] == [
        (name, 1.0) for name in ("tracklets", "identities, pure", "identities, whole")
    ]
    page = data.gather([scored()])
    page = dataclasses.replace(page, sections=(dataclasses.replace(page.sections[0], reliability=found),))
    html = report_page(page)
    assert "How sure the build was" in html
    assert f"identities, pure: {len(people)} said to be 90 % sure, 100 % right" in html
    assert reliability_picture(found).startswith("<svg xmlns")


def test_the_axis_leaves_room_for_the_lowest_curve():
    low = chart([("good", [97.0] * 50), ("bad", [41.0] * 50)])
    assert low.y_ticks[-1][1] == "40"
    assert {y for y, _ in low.y_ticks} <= set(np.arange(low.top, low.bottom + 0.1, 0.1).round(1))
    colours = {(c.colour, c.dash) for c in chart([(str(i), [50.0] * 50) for i in range(20)]).curves}
    assert len(colours) == 20  # twenty models can still be told apart
    assert chart([]) is None


def test_seeds_are_one_curve(scored):
    a, b = scored(seed=0), scored(seed=1)
    section = data.gather([a, b]).sections[0]
    assert len(section.chart.curves) == 1
    assert section.chart.curves[0].values[0] == pytest.approx((a.metrics["R1"] + b.metrics["R1"]) / 2)
    assert "seeds" in section.curves_of


def test_lists_judge_every_entry_as_the_dataset_says(scored, dataset):
    results = [scored("a", 1), scored("b", 2)]
    section = data.gather(results, queries=5).sections[0]
    identity = {t.id: t.identity for t in dataset.test}
    assert len(section.blocks) == 5
    for block in section.blocks:
        assert block.query.verdict == "query"
        for found in block.rankings:
            stored = next(r for r in results if r.model == found.label)
            row = next(q for q in stored.per_query if q.query == block.query.id)
            assert [s.id for s in found.entries] == row.top
            assert found.ap == row.ap
            for place, shot in enumerate(found.entries, start=1):
                right = identity[shot.id] == identity[block.query.id]
                assert (shot.verdict, shot.place) == ("right" if right else "wrong", place)
                assert shot.camera in dataset.cameras
                assert shot.strip
            rights = [s.place for s in found.entries if s.verdict == "right"]
            assert rights[:1] == ([row.rank] if row.rank <= 10 else [])


def test_hard_queries_come_first_and_of_different_people(scored):
    results = [scored("a", 1), scored("b", 2)]
    section = data.gather(results, queries=6).sections[0]
    mean = {}
    for q in results[0].per_query:
        other = next(o for o in results[1].per_query if o.query == q.query)
        mean[q.query] = (q.ap + other.ap) / 2
    assert [h.ap for h in section.hardest] == pytest.approx(sorted(mean.values())[:12])
    hard = [b for b in section.blocks if b.difficulty == "hard"]
    assert hard[0].ap == pytest.approx(min(mean.values()))
    assert len({b.query.identity for b in hard}) == len(hard) == 3
    assert section.blocks[-1].difficulty == "easy"
    assert section.blocks[-1].ap == pytest.approx(max(mean.values()))
    assert len({b.query.id for b in section.blocks}) == 6


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_any_number_of_lists(scored, count):
    page = data.gather([scored()], queries=count)
    blocks = page.sections[0].blocks
    assert len(blocks) <= count
    assert bool(blocks) == bool(count) == bool(page.album.bytes)
    assert ("data:image" in report_page(page)) == bool(count)
    assert len({b.query.id for b in blocks}) == len(blocks)


def test_matrix_holds_the_pairs_and_averages_splits(scored):
    pairs = [
        PairRow(0, 2, mAP=30.0, R1=10.0, queries=1, split=0),
        PairRow(0, 2, mAP=60.0, R1=40.0, queries=2, split=1),
        PairRow(2, 0, mAP=5.0, R1=0.0, queries=4),
    ]
    matrix = data.gather([scored(camera_pairs=pairs)]).sections[0].matrices[0]
    assert matrix.cameras == ("cam0", "cam2")
    assert matrix.cells[0] == (None, data.Pair(50.0, 30.0, 3))
    assert matrix.cells[1] == (data.Pair(5.0, 0.0, 4), None)


def test_settings_of_a_bench_are_told_apart(scored):
    plain, other = scored("a"), scored("b", sampling="spread")
    titles = [s.title for s in data.gather([plain, other]).sections]
    assert titles == ["mine, dense sampling", "mine, spread sampling"]
    assert data.gather([plain]).sections[0].title == "mine"


def test_every_figure_of_ours_leads_to_its_run(scored):
    html = report_page(data.gather([scored("a"), scored("b", 1)]))
    anchors = set(re.findall(r'href="#(run-[^"]+)"', html))
    assert anchors == set(re.findall(r'<details id="([^"]+)"', html))
    assert len(anchors) == 2
    for word in (
        "reidkit run a --bench mine",
        "0.125",
        "Abacus 3",
        "9.9",
        "abc123",
        PROTOCOLS["video-reid"].explanation,
    ):
        assert word in html


def test_nothing_of_a_file_is_taken_for_html(scored):
    evil = "<script>alert(1)</script>\"'"
    rows = [QueryRow(f"q{i}{evil}", i, 5.0, 1, [evil]) for i in (1, 2)]
    result = scored(
        evil.replace("/", ""),
        command=f"{evil}</style>",
        per_query=rows,
        recipe={evil: evil},
        environment={"hardware": {evil: evil}, "software": {}, "commit": evil},
        dataset={"name": evil, "fingerprint": evil, "path": evil},
    )
    html = report_page(data.gather([result]))
    assert "<script>alert" not in html
    assert html.count("<script") == html.count("</script>") == 1
    assert html.count("</style>") == 1
    assert "&lt;script&gt;" in html


def test_same_results_same_page(scored):
    results = [scored("a"), scored("b", 1)]
    assert report_page(data.gather(results)) == report_page(data.gather(results))


def test_a_tracklet_is_embedded_once(scored):
    page = data.gather([scored("a"), scored("b", 1)], queries=12)
    names = re.findall(r"\.(strip\d+)\{", page.album.css)
    assert len(names) == len(set(names)) == 12  # four identities by three cameras
    assert len(set(page.album.css.split("\n"))) == 12


def test_pictures_stop_at_the_limit(scored, monkeypatch):
    whole = data.gather([scored()], queries=12).album.bytes
    monkeypatch.setattr(crops.Album.__init__, "__defaults__", (whole // 2, None))
    page = data.gather([scored()], queries=12)
    assert 0 < page.album.bytes <= whole // 2
    assert any("6 MB" in note for note in page.sections[0].notes)
    shots = [s for b in page.sections[0].blocks for r in b.rankings for s in r.entries]
    assert {bool(s.strip) for s in shots} == {True, False}
    assert all(s.verdict in ("right", "wrong") for s in shots)


def test_a_broken_crop_is_named(scored, dataset):
    result = scored()
    shard = dataset.root / "crops" / "all.tar"
    frames = dataset.test[0].frames
    with open(shard, "r+b") as file:
        file.seek(frames.offsets[0])
        file.write(b"\0" * frames.lengths[0])
    section = data.gather([result], queries=12).sections[0]
    assert any("can't be read" in note and dataset.test[0].id in note for note in section.notes)


@pytest.mark.parametrize("how", ["gone", "changed", "unfinished"])
def test_without_its_dataset_the_lists_have_names(scored, dataset, tmp_path, how):
    save_result(tmp_path / "results", scored("a"))
    if how == "gone":
        dataset.root.rename(tmp_path / "elsewhere")
    elif how == "changed":
        manifest = json.loads((dataset.root / "dataset.json").read_text())
        (dataset.root / "dataset.json").write_text(json.dumps(manifest | {"protocol": "single-camera-views"}))
    else:
        (dataset.root / "dataset.json").unlink()
    output = tmp_path / "r.html"
    done = CliRunner().invoke(report, ["-o", str(output), "--results", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    assert "No crops of mine" in done.stderr
    html = output.read_text()
    assert "data:image/jpeg" not in html
    assert "were not at hand" in html
    assert dataset.test[0].id in html
    assert 'class="right"' in html  # the entries are queries themselves, so their identity is known


def test_a_moved_dataset_is_found_below_data_and_near_the_results(scored, dataset, tmp_path, monkeypatch):
    moved = tmp_path / "shelf" / "mine"
    moved.parent.mkdir()
    result = scored()
    dataset.root.rename(moved)
    assert crops.open_library(result).dataset is None
    assert crops.open_library(result, data=tmp_path / "shelf").dataset is not None
    relative = dataclasses.replace(result, dataset=result.dataset | {"path": "shelf/mine"})
    monkeypatch.chdir("/")
    assert crops.open_library(relative).dataset is None
    assert crops.open_library(relative, near=tmp_path / "results").dataset is not None


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "", "/proc/self/mem"])
def test_a_path_that_can_be_none_leaves_the_lists_with_names(scored, path):
    result = scored()
    hostile = dataclasses.replace(result, dataset=result.dataset | {"path": path, "name": "elsewhere"})
    section = data.gather([hostile]).sections[0]
    assert "there is no dataset at" in section.missing
    assert section.blocks


def test_a_distractor_is_nobody_though_its_number_is_the_querys(make_result):
    """Of identity 0, a person; the distractor's number 0 is no match of it."""
    tracklets = (
        Tracklet("q", 0, 0, Frames(("absent.jpg",))),
        Tracklet("match", 0, 1, Frames(("absent.jpg",))),
        Tracklet("crowd", 0, 1, Frames(("absent.jpg",)), kind="distractor"),
        Tracklet("other", 4, 1, Frames(("absent.jpg",))),
    )
    library = crops.library_of(ReidDataset("d", (), tracklets[:1], tracklets, "video-reid"))
    row = QueryRow("q", 0, 50.0, 2, ["crowd", "match", "other", "gone"])
    shots = lists.Lists({"model": [row]}, library, crops.Album()).blocks(1)[0].rankings[0].entries
    assert [s.verdict for s in shots] == ["wrong", "right", "wrong", "unknown"]
    assert [s.words.split(",")[2:] for s in shots[:2]] == [
        [" distractor", " camera 2: wrong"],
        [" identity 0", " camera 2: right"],
    ]


def test_damaged_files_are_named_on_the_page(scored, tmp_path):
    results = tmp_path / "results"
    path = save_result(results, scored("good"))
    text = path.read_text()
    for name, damaged in (
        ("half", text[: len(text) // 2]),
        ("newer", text.replace('"format": 1', '"format": 99')),
        ("nan", text.replace('"seconds": 1.0', '"seconds": NaN')),
    ):
        (path.parent / f"{name}.json").write_text(damaged)
    done = CliRunner().invoke(report, ["-o", str(tmp_path / "r.html"), "--results", str(results), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["results"], len(told["left_out"])) == (1, 3)
    html = (tmp_path / "r.html").read_text()
    for name in ("half.json", "newer.json", "nan.json"):
        assert name in html


def test_without_results_the_published_figures_are_there(tmp_path):
    done = CliRunner().invoke(report, ["-o", str(tmp_path / "r.html"), "--results", str(tmp_path / "none")])
    assert done.exit_code == 0, done.output
    assert "no results in" in done.stderr
    html = (tmp_path / "r.html").read_text()
    assert "TF-CLIP (AAAI 2024)" in html
    assert "No results of ours yet" in html


def test_results_of_before_per_query_rows(scored):
    page = data.gather([scored(per_query=[], camera_pairs=[], environment={})])
    section = page.sections[0]
    assert section.chart is None
    assert not section.blocks
    assert not section.hardest
    assert "mine" in report_page(page)


def test_the_page_asks_the_network_for_nothing(scored):
    html = report_page(data.gather([scored()]))
    for address in re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', html):
        assert address.startswith(("#", "data:")), address
    assert "default-src 'none'" in html


def test_everything_in_the_folder_is_packaged():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "reidkit.leaderboard.report" in packaged["packages"]
    patterns = packaged["package-data"]["reidkit.leaderboard.report"]
    folder = ROOT / "leaderboard" / "report"
    kept = {path for pattern in patterns for path in folder.glob(pattern)}
    assert kept == {path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"}


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(report, ["-o", str(tmp_path / "file" / "r.html"), "--results", str(tmp_path)])
    assert done.exit_code != 0
    assert "Cannot write" in str(done.exception)


def test_heads_are_covered_in_the_strips(dataset):
    tracklet = dataset.query[0]
    plain, covered = (
        np.asarray(Image.open(io.BytesIO(crops.make_strip(tracklet, cover)))) for cover in (None, cover_by_proportion)
    )
    top, below = slice(4, crops.HEIGHT * 3 // 10 - 4), slice(crops.HEIGHT // 2, None)
    column = slice(4, crops.WIDTH - 4)
    assert covered[top, column].std(axis=(0, 1)).max() < 4
    assert np.abs(covered[below].astype(int) - plain[below]).mean() < 2


def test_blur_faces_reaches_the_page(scored):
    assert data.gather([scored()]).album.cover is None
    assert data.gather([scored()], blur_faces=True).album.cover is cover_by_proportion
