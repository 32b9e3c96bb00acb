"""The one reader and writer of captions.jsonl."""

import json
import os

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.captions import Caption, open_captions, read_captions

RED = Caption("a", "red shoes", "template", "", "")


def line(tracklet: str, **more: object) -> str:
    return json.dumps({"tracklet": tracklet, "text": f"caption of {tracklet}", **more})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "captions.jsonl"


def ids(root) -> list[str]:
    return [caption.tracklet for caption in read_captions(root)]


def test_what_was_appended_is_read_back(tmp_path, path):
    doubtful = Caption("b", "tall", "endpoint", "vlm", "0" * 64, ("too short", "repetition"))
    with open_captions(tmp_path) as file:
        file.append(RED)
        file.append(doubtful)
    assert read_captions(tmp_path) == [RED, doubtful]
    assert path.read_text().startswith('{"tracklet": "a", "text": "red shoes", "captioner": "template", "model": "", ')


def test_no_file_no_caption(tmp_path):
    assert read_captions(tmp_path) == []


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x85", "\x1c", "\u00a0"])
def test_only_a_line_feed_ends_a_line(tmp_path, inside):
    written = [Caption("a", f"red{inside}shoes"), Caption("b", "blue shoes")]
    for caption in written:
        with open_captions(tmp_path) as file:
            file.append(caption)
    assert read_captions(tmp_path) == written


def test_a_line_cut_by_a_kill_is_left_out_and_replaced(tmp_path, path):
    with open_captions(tmp_path) as file:
        file.append(RED)
        file.append(Caption("b", "naïve {braces}"))
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start + 1, len(whole) - 1):  # cut anywhere, in the middle of a letter too
        path.write_bytes(whole[:end])
        assert ids(tmp_path) == ["a"]
    with open_captions(tmp_path) as file:
        assert path.read_bytes() == whole[:start]
        file.append(Caption("c", "blue shoes"))
    assert ids(tmp_path) == ["a", "c"]


def test_a_last_line_written_by_hand_without_a_line_feed_is_kept(tmp_path, path):
    path.write_text(f"{line('a')}\n{line('b')}")
    assert ids(tmp_path) == ["a", "b"]
    with open_captions(tmp_path) as file:
        file.append(Caption("c", "blue shoes"))
    assert ids(tmp_path) == ["a", "b", "c"]


def test_an_editor_of_another_system_and_blank_lines_do_no_harm(tmp_path, path):
    path.write_bytes(f"{line('a')}\r\n\r\n{line('b')}\n\n  \n".encode())
    assert ids(tmp_path) == ["a", "b"]


DAMAGE = {
    # what is wrong: (the second line, what the sentence says besides)
    "no JSON": (b"hello", ""),
    "a list": (b"[]", "object"),
    "no UTF-8": (b'{"tracklet": "b", "text": "caf\xe9"}', "utf-8"),
    "a list for a text": (b'{"tracklet": "b", "text": ["red"]}', r"text"),
    "a number for a doubt": (b'{"tracklet": "b", "text": "red", "doubts": [1]}', r"doubts"),
    "no tracklet": (b'{"text": "red"}', "tracklet"),
    "nesting": (b'{"tracklet": "b", "text": "red", "more": ' + b"[" * 100_000, ""),
}


@pytest.mark.parametrize("end", [b"\n", b"\n" + line("c").encode() + b"\n"], ids=["last", "inside"])
@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_and_nothing_is_deleted(tmp_path, path, what, end):
    damage, reason = DAMAGE[what]
    path.write_bytes(line("a").encode() + b"\n" + damage + end)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=f"Line 2 of .*captions.jsonl.*{reason}") as error:
        read_captions(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="Line 2 of"), open_captions(tmp_path):
        pass
    assert path.read_bytes() == before


def test_a_last_line_that_no_run_of_ours_wrote_is_not_taken_for_a_cut_one(tmp_path, path):
    """By hand, without a line feed: in Latin-1, and with a brace forgotten in front."""
    for text in (b'{"tracklet": "b", "text": "caf\xe9"}', b'"tracklet": "b", "text": "red"}'):
        path.write_bytes(line("a").encode() + b"\n" + text)
        before = path.read_bytes()
        with pytest.raises(UsageError, match="Line 2 of"), open_captions(tmp_path):
            pass
        assert path.read_bytes() == before


def test_a_pipe_is_refused(tmp_path, path):
    os.mkfifo(path)
    with pytest.raises(UsageError, match="no plain file"):
        read_captions(tmp_path)


def test_doubts_are_written_over_and_the_rest_stays_as_it_was(tmp_path, path):
    first, second = line("a", reviewer="Ada"), line("b", reviewer="Ada\u2028")
    path.write_text(f"{first}\n{second}\n")
    with open_captions(tmp_path) as file:
        captions = file.doubt(lambda c: ("contradicts a",) if c.tracklet == "b" else ())
    assert [c.doubts for c in captions] == [(), ("contradicts a",)]
    assert captions == read_captions(tmp_path)
    kept, changed = path.read_text().split("\n")[:2]
    assert kept == first
    assert json.loads(changed) == {**json.loads(second), "doubts": ["contradicts a"]}


def test_one_writer_at_a_time(tmp_path):
    with open_captions(tmp_path) as file:
        file.append(RED)
        with pytest.raises(UsageError, match="Another `reidkit caption` is at work"), open_captions(tmp_path):
            pass
        assert ids(tmp_path) == ["a"]  # reading is free
    with open_captions(tmp_path) as file:
        file.append(Caption("b", "blue shoes"))
    assert ids(tmp_path) == ["a", "b"]
