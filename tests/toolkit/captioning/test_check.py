"""Answers that are captions, and those that are not."""

import numpy as np
import pytest
from PIL import Image

from reidkit.toolkit.captioning.check import check, contradictions, count_words, facts
from reidkit.toolkit.captioning.pictures import choose, side_by_side


@pytest.mark.parametrize(
    ("answer", "text", "doubts"),
    [
        ("Short black hair, red shoes, white socks.", "Short black hair, red shoes, white socks", ()),
        ("Here is the caption: tall player with red shoes", "tall player with red shoes", ()),  # an introduction
        ("**Blond** hair,\n- blue shoes,  number 7", "Blond hair, blue shoes, number 7", ()),  # markdown
        (
            "Red shoes and socks, number not visible, long hair",
            "Red shoes and socks, long hair",
            (),
        ),  # no CLIP "not"
        ("I'm sorry, I cannot identify people.", "I'm sorry, I cannot identify people.", ("refusal",)),
        ("red shoes", "red shoes", ("too short",)),
        ("", "", ("too short",)),
        ("red shoes red shoes red shoes red shoes", "red shoes red shoes red shoes red shoes", ("repetition",)),
    ],
)
def test_check(answer, text, doubts):
    assert check(answer) == (text, doubts)


@pytest.mark.parametrize("mark", list("'’‘ʼ´′＇`"))
@pytest.mark.parametrize(
    "answer", ["I’m sorry, but I can’t help with that.", "Sorry, I can’t describe people.", "I won’t."]
)
def test_a_refusal_is_one_with_any_apostrophe(answer, mark):
    assert check(answer.replace("’", mark))[1] == ("refusal",)


@pytest.mark.parametrize(
    "answer",
    [
        "I am not able to describe the people in these pictures",
        "I apologize, identifying people is nothing I do",
        "As an AI, I do not describe people",
        "I can not see anybody here",
        "I'm really sorry, but there is nobody whom I know",
        "I couldn't make out any person in the pictures",
        "Unable to determine who this is from the picture",
    ],
)
def test_refusals(answer):
    assert check(answer)[1] == ("refusal",)


def test_typographic_marks_become_plain_ones():
    assert check("a “women’s” jersey in ｒｅｄ, number\u00a07")[0] == "a women's jersey in red, number 7"
    assert check("long hair, the number can’t be seen, red shoes")[0] == "long hair, red shoes"


def test_a_long_caption_keeps_what_tells_people_apart():
    kit = ", ".join(f"kit{i}a kit{i}b kit{i}c kit{i}d kit{i}e kit{i}f" for i in range(15))
    text, doubts = check(f"{kit}, number 9 on the back, orange shoes")
    assert doubts == ("shortened",)
    assert text.startswith("number 9 on the back, orange shoes")
    assert count_words(text) <= 75


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short black hair and red shoes", {"hair": {"black"}, "shoes": {"red"}}),
        ("gray socks, number 12", {"socks": {"grey"}, "number": {"12"}}),
        ("a white #7 jersey", {"jersey": {"white"}, "number": {"7"}}),
        ("black and white shoes", {"shoes": {"white"}}),  # "and" ends the thing before; white alone is sure
        ("a tall player", {}),
    ],
)
def test_facts(text, expected):
    assert facts(text) == expected


def test_contradictions_name_the_other_caption():
    found = contradictions([("a", "red shoes, black hair"), ("b", "blue shoes"), ("c", "black hair, tall")])
    assert found == {"a": ("contradicts b: shoes red or blue",), "b": ("contradicts a: shoes blue or red",)}


def test_choose_prefers_clear_crops_far_apart():
    times = np.arange(10.0)
    scores = np.array([0.9, 0.8, 0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.8, 1.0])
    chosen = choose(scores, times, np.zeros((10, 4)), 3)
    assert chosen == [0, 5, 9]  # the best first, then far in time and clear
    assert choose(scores[:2], times[:2], np.zeros((2, 4)), 5) == [0, 1]  # no more than there are


def test_choose_spreads_over_poses_when_time_is_the_same():
    looks = np.array([[0.0], [0.0], [0.0], [5.0]])
    assert 3 in choose(np.array([1.0, 0.9, 0.9, 0.5]), np.zeros(4), looks, 2)


def test_side_by_side_scales_to_one_height():
    sheet = side_by_side([Image.new("RGB", (20, 40)), Image.new("RGB", (100, 100))])
    assert sheet.size == (168 + 8 + 336, 336)
