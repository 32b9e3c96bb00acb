"""Captions without phrases on skin, hair and build."""

import itertools

import pytest

from reidkit.datasets.withheld import TOPICS, Withheld, without, without_all

ALL = TOPICS

# caption, what is left of it without all three topics
PHRASINGS = [
    ("a tall man with short black hair and red shoes", "a man with red shoes"),
    (
        "a photo of a person with number 7 on the back, long blond hair, red shoes, light skin, slim build",
        "a photo of a person with number 7 on the back, red shoes",
    ),
    (
        "the same person has dark skin, stocky build, white shirt with navy trim",
        "the same person has white shirt with navy trim",
    ),
    (
        "A young woman with dark hair in a ponytail, wearing a red jersey and white shorts.",
        "A young woman, wearing a red jersey and white shorts.",
    ),
    ("a woman with long brown hair in a red shirt", "a woman in a red shirt"),
    ("The man's hair is black and tied back. He wears a blue shirt.", "He wears a blue shirt."),
    (
        "A bald man with a beard wearing a black and white striped shirt",
        "A man wearing a black and white striped shirt",
    ),
    ("an athletic Asian woman in a green leotard", "a woman in a green leotard"),
    ("a man of average build with red shirt and short sleeves", "a man with red shirt and short sleeves"),
    ("the person is tall and slim, wearing a yellow bib", "the person, wearing a yellow bib"),
    ("short and curly hair, white socks", "white socks"),
    ("with blond hair and a black and white shirt", "a black and white shirt"),
    ("hair tied up in a bun, blue dress", "blue dress"),
    ("a light-skinned, dark-haired girl with a headband", "a girl with a headband"),
    ("broad shoulders, red shirt", "red shirt"),
    ("A black man in a white shirt", "A man in a white shirt"),
    ("a man who is tall and wears a red shirt", "a man who wears a red shirt"),
    ("a man who has long hair and wears a red shirt", "a man who wears a red shirt"),
    ("a person of Asian descent wearing glasses", "a person wearing glasses"),
    ("medium height, heavy build, knee pads", "knee pads"),
    ("red shoes and short black hair", "red shoes"),
    ("red shoes, short black hair", "red shoes"),
    ("a clean-shaven player with a shaved head, knee-high white socks", "a player with knee-high white socks"),
    ("A stocky, bearded goalkeeper with green gloves.", "A goalkeeper with green gloves."),
    ("a white t-shirt, with hair down to her shoulders, and black shorts", "a white t-shirt, with black shorts"),
    ("two braids, pink top", "pink top"),
    ("The player wears number 5. Her skin is pale. Blue socks.", "The player wears number 5. Blue socks."),
    ("has brown hair that is short and messy, a red shirt", "a red shirt"),
    ("dark hair pulled back into a low bun, black leotard, pale skin, slender frame", "black leotard"),
    ("person in white kit with tanned legs and curly hair", "person in white kit"),
    ("a ribbon in her blond hair, red socks", "a ribbon, red socks"),
    ("shoulder-length wavy hair, about average height, purple dress", "purple dress"),
    ("a person with a slim figure and dark complexion, red leotard", "a person with red leotard"),
    ("heavyset man, grey beard, blue jersey with number 23", "man, blue jersey with number 23"),
    ("player with number 7 on the back and a shaved head", "player with number 7 on the back"),
    ("a man with cornrows, tattoos on both arms", "a man with tattoos on both arms"),
    ("tall", ""),
    ("short black hair", ""),
]  # fmt: skip

# What sounds alike and says nothing of the three.
HARMLESS = [
    "a man in a black shirt",
    "a black shirt with white trim, black shoes",
    "skin-tight leggings, tall socks, thin stripes",
    "slim jeans, short socks and a hair band",
    "the shirt is black and the sleeves are short",
    "a small white number on black shorts",
    "knee-height socks, black boots",
    "large white logo, short skirt, dark blue shorts",
    "",
]


@pytest.mark.parametrize(("text", "left"), PHRASINGS)
def test_what_is_left(text, left):
    found = without(text, ALL)
    assert found.text == left
    assert found.removed
    assert without(left, ALL) == Withheld(left, ())  # nothing more to find


@pytest.mark.parametrize("text", HARMLESS)
def test_what_sounds_alike_stays(text):
    assert without(text, ALL) == Withheld(text, ())


def test_only_the_named_topics_go():
    text = "a tall man with dark skin, blond hair, red shoes"
    assert without(text, []).text == text
    assert without(text, ["hair"]) == Withheld("a tall man with dark skin, red shoes", ("blond hair",))
    assert without(text, ["build"]) == Withheld("a man with dark skin, blond hair, red shoes", ("tall",))
    assert without(text, ["skin"]) == Withheld("a tall man with blond hair, red shoes", ("dark skin",))


def test_of_any_order_of_clauses_the_telling_words_go_and_the_clothes_stay():
    about = ["pale skin", "a long ponytail", "muscular build"]
    clothes = ["green socks", "white shorts"]
    for order in itertools.permutations([*about, *clothes]):
        for glue in (", ", " and ", ", and ", "; "):
            found = without(f"a person with {glue.join(order)}", ALL)
            assert not any(word in found.text for word in ("skin", "ponytail", "build"))
            assert all(word in found.text for word in clothes), found
            assert sorted(found.removed) == sorted(about)


def test_texts_that_become_equal_or_empty_are_dropped():
    texts = ["red shoes, long hair", "red shoes, tall", "grey beard"]
    assert without_all(texts, ALL) == (("red shoes",), 3)
    assert without_all(texts, []) == (tuple(texts), 0)
