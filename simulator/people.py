"""Who appears in simulated footage: attributes with names a person would use, drawn from a seed.

    people = cast("sports", count=10, first_id=1, rng=np.random.default_rng(0))

Two people of one team wear one kit; build, hair, skin, shoes, socks, sleeves, number, accessory, gait tell them apart.
"""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]  # RGB, 0..1

SKINS: dict[str, Colour] = {
    "fair skin": (0.93, 0.76, 0.66),
    "light skin": (0.87, 0.66, 0.53),
    "tanned skin": (0.74, 0.52, 0.37),
    "brown skin": (0.53, 0.35, 0.24),
    "dark skin": (0.33, 0.21, 0.15),
}
HAIR_COLOURS: dict[str, Colour] = {
    "black": (0.07, 0.06, 0.07),
    "dark brown": (0.20, 0.12, 0.07),
    "brown": (0.36, 0.22, 0.12),
    "red": (0.60, 0.22, 0.08),
    "blond": (0.84, 0.66, 0.34),
    "grey": (0.62, 0.62, 0.64),
}
HAIR_STYLES = ("short", "shaved", "long", "ponytail", "bun", "curly")
COLOURS: dict[str, Colour] = {
    "white": (0.93, 0.93, 0.92),
    "black": (0.09, 0.09, 0.10),
    "red": (0.80, 0.10, 0.10),
    "blue": (0.12, 0.25, 0.72),
    "green": (0.10, 0.52, 0.25),
    "yellow": (0.95, 0.80, 0.12),
    "orange": (0.95, 0.48, 0.10),
    "purple": (0.45, 0.18, 0.62),
    "pink": (0.95, 0.45, 0.66),
    "light blue": (0.45, 0.72, 0.93),
    "navy": (0.08, 0.11, 0.30),
    "maroon": (0.45, 0.07, 0.14),
}
NUMBERS = range(2, 100)  # on the backs of a team
SHOES = ("white", "black", "red", "blue", "green", "yellow", "orange", "pink")
BUILDS: dict[str, tuple[float, float]] = {  # height in metres, width factor
    "short and slim": (1.66, 0.90),
    "short and stocky": (1.68, 1.20),
    "of medium build": (1.79, 1.02),
    "tall and slim": (1.93, 0.90),
    "tall and broad": (1.95, 1.18),
}
SLEEVES: dict[str, float] = {"no sleeves": 0.0, "short sleeves": 0.55, "long sleeves": 1.85}
SOCKS: dict[str, float] = {"ankle socks": 0.18, "mid-calf socks": 0.5, "knee-high socks": 0.9}
ACCESSORIES = ("no accessory", "headband", "wristbands", "knee pads", "arm sleeve")
GAITS: dict[str, tuple[float, float]] = {  # stride frequency factor, arm swing factor
    "short quick steps": (1.14, 0.85),
    "even steps": (1.0, 1.0),
    "long loping strides": (0.88, 1.1),
    "swinging arms": (0.98, 1.45),
    "quiet arms": (1.03, 0.6),
}
# (shirt, trim, shorts): kits that keep their distance from each other and from the floor
KITS = (
    ("red", "white", "white"),
    ("blue", "yellow", "blue"),
    ("white", "navy", "navy"),
    ("green", "white", "black"),
    ("yellow", "black", "black"),
    ("navy", "orange", "navy"),
    ("black", "light blue", "black"),
    ("light blue", "white", "white"),
    ("maroon", "yellow", "maroon"),
    ("purple", "white", "purple"),
)
# (cut, top, trim, bottom): a whole dance company wears one of these
COSTUMES = (
    ("dress", "maroon", "yellow", "maroon"),
    ("dress", "white", "light blue", "white"),
    ("dress", "navy", "white", "navy"),
    ("trousers", "white", "black", "black"),
    ("trousers", "purple", "pink", "black"),
    ("trousers", "yellow", "white", "navy"),
    ("leotard", "green", "yellow", "black"),
    ("leotard", "red", "black", "black"),
)


@dataclass(frozen=True)
class Person:
    """One identity: what the renderer needs and, in `attributes`, how a person would say it."""

    id: int
    team: str  # "home", "away" or "company"
    height: float  # metres
    width: float  # factor on girth; 1 is average
    skin: Colour
    hair: Colour
    hair_style: str
    cut: str  # "shorts", "dress", "trousers", "leotard"
    top: Colour
    trim: Colour
    bottom: Colour
    sleeve: float  # covered length of the arm, in upper arms (0 none, 0.55 short, 1.85 long)
    sock: float  # covered share of the shin
    sock_colour: Colour
    shoes: Colour
    number: int | None
    accessory: str
    accessory_colour: Colour
    stride: float
    arm_swing: float
    attributes: dict[str, str]


def hair_words(style: str, colour: str) -> str:
    """How a person would say it.

    >>> hair_words("long", "blond")
    'long blond hair'
    >>> hair_words("ponytail", "brown")
    'brown hair in a ponytail'
    >>> hair_words("shaved", "black")
    'a shaved head'
    """
    if style == "shaved":
        return "a shaved head"
    if style in ("ponytail", "bun"):
        return f"{colour} hair in a {style}"
    return f"{style} {colour} hair"


def draw_evenly(options: list, count: int, rng: np.random.Generator) -> list:
    """`count` draws that use every option about equally often, in random order."""
    rounds = -(-count // len(options))
    drawn = [options[i] for _ in range(rounds) for i in rng.permutation(len(options))]
    return drawn[:count]


def shirt_distance(kit: tuple[str, str, str], other: tuple[str, str, str]) -> float:
    """How far two kits' shirts are apart: the sum of the differences of red, green and blue."""
    return sum(abs(a - b) for a, b in zip(COLOURS[kit[0]], COLOURS[other[0]], strict=True))


def cast(kind: str, count: int, first_id: int, rng: np.random.Generator) -> list[Person]:
    """`count` people of one event, ids counted from `first_id`.

    Args:
        kind: "sports" (two teams, alternating) or "dance" (one company in one costume).
    """
    builds = draw_evenly(list(BUILDS), count, rng)
    skins = draw_evenly(list(SKINS), count, rng)
    # every (style, colour) pair once before any comes twice; a shaved head has no colour
    hairs = [(s, c) for s in HAIR_STYLES for c in HAIR_COLOURS if s != "shaved"] + [("shaved", "black")] * 2
    hairs = draw_evenly(hairs, count, rng)
    shoes = draw_evenly(list(SHOES), count, rng)
    socks = draw_evenly(list(SOCKS), count, rng)
    gaits = draw_evenly(list(GAITS), count, rng)
    accessories = draw_evenly(list(ACCESSORIES), count, rng)
    sleeves = draw_evenly(["short sleeves", "no sleeves", "long sleeves", "short sleeves"], count, rng)
    if kind == "sports":
        first = rng.integers(len(KITS))
        second = (first + rng.integers(2, len(KITS) - 1)) % len(KITS)
        while shirt_distance(KITS[first], KITS[second]) < 0.8:
            second = (second + 1) % len(KITS)
        kits = (KITS[first], KITS[second])
        each = -(-count // 2)
        twice = each > len(NUMBERS)  # more players than numbers, as an annotation of many people has
        numbers = [int(n) for team in range(2) for n in rng.choice(NUMBERS, each, replace=twice)]
    else:
        costume = COSTUMES[rng.integers(len(COSTUMES))]
    people = []
    for i in range(count):
        height, width = BUILDS[builds[i]]
        height += float(rng.uniform(-0.025, 0.025))
        width += float(rng.uniform(-0.03, 0.03))
        style, hair = hairs[i]
        band = str(rng.choice(["white", "black", "red", "yellow", "green", "pink"]))
        sock_colour = str(rng.choice(["white", "black", "blue", "red", "yellow"]))
        if kind == "sports":
            shirt, trim, bottom = kits[i % 2]
            cut, team = "shorts", ("home", "away")[i % 2]
            number = numbers[(i % 2) * (len(numbers) // 2) + i // 2]
            clothes = {"shirt": f"{shirt} shirt with {trim} trim", "shorts": f"{bottom} shorts", "number": str(number)}
        else:
            cut, shirt, trim, bottom = costume
            team, number = "company", None
            what = {
                "dress": f"{shirt} dress with {trim} trim",
                "trousers": f"{shirt} top and {bottom} trousers",
                "leotard": f"{shirt} leotard and {bottom} tights",
            }
            clothes = {"costume": what[cut]}
        accessory = accessories[i]
        worn = {
            "no accessory": "no accessory",
            "headband": f"{band} headband",
            "wristbands": f"{band} wristbands",
            "knee pads": f"{band} knee pads",
            "arm sleeve": f"{band} sleeve on the left arm",
        }[accessory]
        build = builds[i]
        legs_covered = cut in ("trousers", "leotard")
        attributes = {
            "team": team,
            "build": build,
            "hair": hair_words(style, hair),
            "skin": skins[i],
            **clothes,
            "sleeves": sleeves[i],
            "shoes": f"{shoes[i]} shoes",
            **({} if legs_covered else {"socks": f"{sock_colour} {socks[i]}"}),
            "accessory": worn,
            "gait": gaits[i],
        }
        stride, swing = GAITS[gaits[i]]
        people.append(
            Person(
                id=first_id + i,
                team=team,
                height=height,
                width=width,
                skin=SKINS[skins[i]],
                hair=HAIR_COLOURS[hair],
                hair_style=style,
                cut=cut,
                top=COLOURS[shirt],
                trim=COLOURS[trim],
                bottom=COLOURS[bottom],
                sleeve=SLEEVES[sleeves[i]],
                sock=SOCKS[socks[i]],
                sock_colour=COLOURS[sock_colour],
                shoes=COLOURS[shoes[i]],
                number=number,
                accessory=accessory,
                accessory_colour=COLOURS[band],
                stride=stride,
                arm_swing=swing,
                attributes=attributes,
            )
        )
    return people
