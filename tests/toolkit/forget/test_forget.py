"""People taken out of a built dataset: nothing of them stays, and a kill at any moment changes nothing of the end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from coloured import load_colour_detector, load_colour_embedder
from command_line import call

from reidkit.datasets.decisions import Draft, open_decisions, read_decisions
from reidkit.datasets.errors import UsageError
from reidkit.datasets.own import read_dataset, reviewed_tables
from reidkit.toolkit.build import BuildSettings, build
from reidkit.toolkit.check import find_problems
from reidkit.toolkit.folder import refuse_other
from reidkit.toolkit.forget import forget as module
from reidkit.toolkit.forget import swap
from reidkit.toolkit.forget.forget import forget, look
from reidkit.toolkit.settings import FootageSettings


@pytest.fixture
def folder(built, tmp_path) -> Path:
    """The built dataset with a review, captions, consents, and somebody's own file."""
    root = tmp_path / "set"
    shutil.copytree(built[0], root)
    table = pl.read_parquet(root / "tracklets.parquet").filter(kind="person")
    first = {n: ids[0] for n, ids in table.group_by("identity", maintain_order=True).agg("id").iter_rows()}
    lines = [{"tracklet": id_, "text": f"person {n}, red shoes"} for n, id_ in first.items()]
    (root / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with open_decisions(root) as log:
        log.append(Draft("identity", (first[2],), identity=2, name="Berta"), Draft("split", (first[1],)), by="anna")
    (root / "attributes.csv").write_text("identity,shoes\n1,red\n2,chartreuse\n3,blue\n")
    events = dict(table.select("identity", "event").unique().iter_rows())
    (root / "rights.toml").write_text(f'[consent]\n"{events[2]}/2" = "refused"\n"{events[3]}/3" = "given"\n')
    (root / "notes.txt").write_text("mine")
    return root


def crops_of(root, identity):
    """The bytes of a reviewed identity's crops, and the ids of its tracklets."""
    table, frames = reviewed_tables(root)
    ids = table.filter((pl.col("kind") == "person") & (pl.col("identity") == identity))["id"].to_list()
    rows = frames.filter(pl.col("tracklet").is_in(ids)).select("shard", "offset", "length")
    return [(root / s).read_bytes()[o : o + n] for s, o, n in rows.iter_rows()], ids


def searched(root, crops, ids):
    """Files below `root` that hold one of the crops, or name a tracklet (in a table, in any column of text)."""
    found = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        data = path.read_bytes()
        texts = [data]
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
            texts += [
                "\n".join(table[c].drop_nulls().to_list()).encode()
                for c in table.columns
                if table[c].dtype == pl.String
            ]
        if any(crop in data for crop in crops) or any(id_.encode() in text for id_ in ids for text in texts):
            found.append(path.name)
    return found


def contents(root):
    """Every file's bytes, without the time of the log."""
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    files = {name: data for name, data in files.items() if not name.endswith("lock")}
    lines = [json.loads(line) for line in files.pop("forgotten.jsonl", b"").splitlines()]
    return files, [{**line, "at": ""} for line in lines]


def test_nothing_of_a_person_stays(folder):
    crops, ids = crops_of(folder, 2)
    others = {i: crops_of(folder, i) for i in set(reviewed_tables(folder)[0].filter(kind="person")["identity"]) - {2}}
    before = json.loads((folder / "dataset.json").read_text())
    assert "tracklets.parquet" in searched(folder, crops, ids)
    assert any("tar" in name for name in searched(folder, crops, ids))
    would = look(folder, [2])
    done = forget(folder, [2], why="withdrew")
    assert searched(folder, crops, ids) == []
    assert all(crops_of(folder, i) == known for i, known in others.items())
    assert "chartreuse" not in (folder / "attributes.csv").read_text()
    assert "blue" in (folder / "attributes.csv").read_text()
    assert b"Berta" not in b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert (folder / "rights.toml").read_text().count("=") == 1
    assert [d.do for d in read_decisions(folder)] == ["forgotten", "split"]
    assert (
        pl.read_parquet(folder / "identities.parquet")
        .filter((pl.col("identity") == 2) | (pl.col("twin") == 2))
        .is_empty()
    )
    assert [p.name for p in (folder / ".work").iterdir() if p.is_dir()] == []
    (line,) = [json.loads(one) for one in (folder / "forgotten.jsonl").read_text().splitlines()]
    assert line == {"at": line["at"], "people": 1, "crops": len(crops), "why": "withdrew"}
    manifest = json.loads((folder / "dataset.json").read_text())
    assert manifest["fingerprint"] == done.fingerprint != before["fingerprint"]
    assert manifest["losses"]["people_forgotten"] == 1
    assert manifest["counts"]["identities"] == before["counts"]["identities"] - 1
    assert (folder / "contact-sheet.jpg").is_file()
    assert (folder / "notes.txt").read_text() == "mine"
    assert done.unknown == would.unknown == ("notes.txt",)
    assert (done.crops, done.tracklets, done.captions) == (len(crops), len(ids), 1) == (would.crops, would.tracklets, 1)
    assert not (folder / ".forget").exists()
    assert read_dataset(folder).manifest is not None
    assert {problem.check for problem in find_problems(folder)} <= {
        "length balance",
        "camera balance",
        "matches",
        "queries",
    }


def test_a_build_into_it_is_refused(folder, raw):
    forget(folder, [2])
    settings = BuildSettings(footage=FootageSettings(segment_seconds=2.0))
    with pytest.raises(UsageError, match="would bring them back"):
        build(raw, folder, settings, load_colour_detector, load_colour_embedder)


def test_who_is_not_there_is_refused_and_nothing_changes(folder):
    before = contents(folder)
    for wanted in ([99], [2, 99], []):
        with pytest.raises(UsageError, match=r"no identity 99|Nobody is named"):
            forget(folder, wanted)
    assert contents(folder) == before
    forget(folder, [2])
    with pytest.raises(UsageError, match="no identity 2"):
        forget(folder, [2])


def test_a_review_at_work_is_not_disturbed(folder):
    with open_decisions(folder), pytest.raises(UsageError, match="at work"):
        forget(folder, [2])


def test_twice_is_as_at_once(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    forget(folder, [2])
    forget(folder, [3])
    forget(tmp_path / "other", [2, 3])
    one, two = contents(folder)[0], contents(tmp_path / "other")[0]
    assert one == two
    assert [line["people"] for line in contents(folder)[1]] == [1, 1]


class Killed(BaseException):
    """Stands for a SIGKILL in this process."""


def stops(monkeypatch, after):
    """Makes the `after`-th change of the file system, and all behind it, fail as in a killed process."""
    count = [0]

    def counting(name, owner):
        real = getattr(owner, name)

        def call(*args, **more):
            count[0] += 1
            if count[0] > after:
                raise Killed
            return real(*args, **more)

        monkeypatch.setattr(owner, name, call)

    for name in ("replace", "link", "unlink", "rmdir", "mkdir"):
        counting(name, os)
    return count


def test_a_kill_at_any_moment_ends_in_the_same_bytes(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "whole")
    with monkeypatch.context() as patched:
        steps = stops(patched, 10**9)
        forget(tmp_path / "whole", [2])
    wanted, total = contents(tmp_path / "whole"), steps[0]
    before = contents(folder)
    seen = set()
    for at in (0, total // 2, *(total - back for back in (12, 9, 6, 4, 2, 1))):
        root = tmp_path / "killed"
        shutil.copytree(folder, root)
        with monkeypatch.context() as patched:
            stops(patched, at)
            with pytest.raises(Killed):
                forget(root, [2])
        if (root / "dataset.json").exists():  # all of it is as it was, or as it will be
            now = {k: v for k, v in contents(root)[0].items() if not k.startswith(".forget/")}
            done = now["dataset.json"] != before[0]["dataset.json"]
            seen.add(done)
            assert now == (wanted if done else before)[0]
            read_dataset(root)
        else:
            seen.add(None)
            with pytest.raises(UsageError, match="Run `reidkit forget"):
                read_dataset(root)
        if not (root / "forgotten.jsonl").exists() or swap.pending(root):
            forget(root, [2])
        else:
            shutil.rmtree(root / ".forget", ignore_errors=True)
        assert contents(root) == wanted
        shutil.rmtree(root)
    assert {None, False} <= seen


def killed(monkeypatch, root, name, identities):
    """A `forget` of these that ends where it comes to `swap`'s function of that name."""

    def die(*_):
        patched.setattr(shutil, "rmtree", lambda *_, **more: None)  # who is killed tidies nothing
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(swap, name, die)
        with pytest.raises(Killed):
            forget(root, identities)


def test_after_a_kill_nobody_goes_who_was_not_asked_about(folder, monkeypatch, capsys):
    killed(monkeypatch, folder, "finish", [2])  # the plan is written
    code, _, err = call(capsys, "forget", folder, 3)
    assert code == 2
    assert "What was stopped is ended. Identities 3 were not taken out: run the command again." in " ".join(err.split())
    people = reviewed_tables(folder)[0].filter(kind="person")["identity"].to_list()
    assert {2, 3} & set(people) == {3}
    code, _, err = call(capsys, "forget", folder, 3)
    assert "Say --yes" in err
    killed(monkeypatch, folder, "finish", [3])
    assert call(capsys, "forget", folder, 3, 1, "--yes")[0] == 0
    people = reviewed_tables(folder)[0].filter(kind="person")["identity"].to_list()
    assert not {1, 3} & set(people)


def test_a_kill_before_the_plan_keeps_no_build_out(folder, monkeypatch):
    killed(monkeypatch, folder, "commit", [2])
    assert (folder / ".forget").exists()
    refuse_other(folder)
    assert forget(folder, []) is None
    assert not (folder / ".forget").exists()
    killed(monkeypatch, folder, "finish", [2])
    with pytest.raises(UsageError, match="would bring them back"):
        refuse_other(folder)


@pytest.mark.slow
def test_killed_processes(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "whole")
    forget(tmp_path / "whole", [2])
    for delay in (1.0, 1.4, 1.8, 2.2, 2.6, 3.0):
        root = tmp_path / "killed"
        shutil.copytree(folder, root)
        process = subprocess.Popen([sys.executable, "-m", "reidkit", "forget", str(root), "2", "--yes"])
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not (root / "forgotten.jsonl").exists() or swap.pending(root):
            forget(root, [2])
        assert contents(root) == contents(tmp_path / "whole")
        shutil.rmtree(root)


def test_half_of_a_tracklet_goes_with_its_person(folder):
    table, frames = reviewed_tables(folder)
    id_ = table.filter(kind="person", identity=3)["id"][0]
    numbers = frames.filter(tracklet=id_)["frame"].to_list()
    with open_decisions(folder) as log:
        log.append(Draft("split", (id_,), frame=sorted(numbers)[len(numbers) // 2]))
    later = next(i for i in reviewed_tables(folder)[0]["id"].to_list() if i.startswith(f"{id_}~"))
    who = reviewed_tables(folder)[0].filter(id=later)["identity"].item()
    crops, _ = crops_of(folder, who)
    forget(folder, [who])
    assert searched(folder, crops, [later]) == []
    assert reviewed_tables(folder)[0].filter(id=id_)["frames"].item() == len(numbers) - len(crops)


def test_notes_lose_the_pairs_that_go():
    note = "Identities that may be one person are in train and test: 1 and 4, 2 and 5, 3 and 6. Divide by other events."
    assert "1 and 4, 3 and 6. Divide" in module._without_pairs(note, [(2, 5)])
    assert module._without_pairs(note, [(1, 4), (2, 5), (3, 6)]) == ""
    assert module._without_pairs("Nobody was followed in 'a/b'.", [(2, 5)]) == "Nobody was followed in 'a/b'."
