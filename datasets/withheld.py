"""Captions without what they say of skin, hair and build: phrases are removed clause by clause, and counted.

    withheld = without("a tall man with short black hair and red shoes", ("hair", "build"))
    withheld.text, withheld.removed         # "a man with red shoes", ("short black hair", "tall")

A text is divided at commas, stops and connecting words (and, with, wearing, …). A clause about a topic goes, with what
hangs on it ("tied back in a knot"); inside a clause about a person only the adjectives go. Rather a harmless clause too
many is removed than one of the topic left. Words that sound alike stay: short sleeves, slim jeans, a hair band.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Topic = Literal["skin", "hair", "build"]
TOPICS: tuple[Topic, ...] = ("skin", "hair", "build")

_PERSON = (
    r"(?:man|men|woman|women|person|people|player|dancer|boy|girl|guy|lady|gentleman|male|female|athlete|runner|"
    r"performer|individual|child|kid|teenager|adult|goalkeeper|keeper|referee|defender|striker|youth|team-?mate)s?"
)
_PEOPLES = (
    r"(?:african|afro|asian|caucasian|european|hispanic|indian|latin[oa]|arab|middle[- ]eastern|scandinavian|"
    r"(?:african|asian)[- ]american|mixed[- ]race)"
)
_BODY = (
    r"(?:tall|short|slim|slender|thin|skinny|stocky|muscular|athletic|sturdy|heavy|heavy-?set|thick-?set|overweight|"
    r"obese|fat|chubby|plump|petite|lanky|lean|burly|brawny|toned|curvy|bulky|wiry|fit|big|large|small|"
    r"(?:well|heavily|strongly|slimly|powerfully|solidly|athletically|lightly)[- ]built|"
    r"(?:broad|wide|narrow)-shouldered|long-(?:legged|limbed)|tallish|shortish|taller|shorter)"
)
_COLOURED = r"(?:black|white|brown|dark|light|pale|fair|tan|tanned|sun-?tanned|freckled|\w+-skinned|\w+-complexioned)"
_HAIRED = (
    r"(?:blond|blonde|brunette|brunet|bald|balding|bearded|ginger|red-?headed|auburn|(?:[\w-]+-)?haired|"
    r"(?:un|clean[- ])shaven|moustached|mustached|moustachioed|curly-headed|pony-?tailed)"
)
# Adjectives of a person, which go without the person.
_ADJECTIVES = {"skin": rf"(?:{_COLOURED}|{_PEOPLES})", "hair": _HAIRED, "build": _BODY}

# What makes a clause one of the topic.
_NOUNS = {
    "skin": (
        r"\bskin(?!-?\s?tight)(?:-?\s?(?:ned|tone\w*|colou?r\w*))?\b|\w-skinned\b|\bcomplexion\w*|\bfreckle\w*|"
        rf"\b(?:sun-?)?tanned\b|\bsuntan\b|\bethnic\w*|\b{_PEOPLES}\b|\bmelanin\b|\bpale (?:face|legs|arms)\b"
    ),
    "hair": (
        r"\b(?:[\w-]+-)?hair(?!-?\s?(?:band|clip|tie|pin|net|bow|ribbon|grip)s?\b)\w*|\bpony-?\s?tail\w*|\bpig-?tails?\b|"
        r"\bbuns?\b|\bbraid\w*|\bplait\w*|\bbald\w*|\bbeard\w*|\bmou?stach\w*|\bgoatee\b|\bstubble\b|\bsideburns?\b|"
        r"\bafro\b|\bdread(?:lock)?s\b|\blocs\b|\bcornrows?\b|\bmohawk\b|\bbangs\b|\bfringe\b(?! (?:jacket|skirt|top))|"
        r"\bblond\w*|\bbrunette?\w*|\bred-?head\w*|\bcurls\b|\blocks\b|\b(?:crew|buzz|pixie|bowl)[- ]?cut\b|\bbob\b|"
        r"\bundercut\b|\b(?:un|clean[- ])shaven\b|\bshaved head\b|\btop-?\s?knot\b|\bchignon\b|\bupdo\b|\btresses\b"
    ),
    "build": (
        r"\bbuild\b|\bbuilt\b|\bphysique\b|\bstature\b|(?<!knee-)(?<!ankle-)(?<!waist-)\bheight\b|\boverweight\b|"
        rf"\b{_BODY}(?:,? (?:and )?{_BODY})* (?:\w+ )?(?:body|frame|figure|legs|arms|calves|thighs|torso)\b|"
        r"\bbody (?:type|shape)\b|\b(?:broad|wide|narrow)[- ]shoulder\w*|\bmuscular\w*|\bmuscles?\b|"
        r"\b(?:heavy|thick)-?set\b|\bstocky\b|\bslender\b|\bskinny\b(?! (?:jeans|trousers|pants|fit))|\bobese\b|"
        r"\bchubby\b|\bpetite\b|\blanky\b|\bburly\b|\bplump\b|\bbelly\b|\bpaunch\b"
    ),
}
# Nouns that, behind "of" and a few words, are an attribute of the person before: "a man of average build".
_ATTRIBUTES = {
    "skin": r"(?:complexion|skin(?: tone| colou?r)?|descent|ethnicity|heritage|origin)",
    "hair": r"(?:hair)",
    "build": r"(?:build|height|stature|physique|frame|figure)",
}
_THINGS = re.compile(
    r"\b(?:shirt|t-shirt|tee|jersey|top|shorts|pants|trousers|jeans|leggings|tights|skirt|dress|leotard|jacket|coat|"
    r"hoodie|sweater|jumper|vest|suit|tracksuit|uniform|kit|bib|socks?|stockings|shoes?|sneakers|boots|trainers|sandals|"
    r"slippers|cap|hat|beanie|headband|hair-? ?band|bandanna?|helmet|glasses|goggles|gloves?|wrist-?bands?|arm-?bands?|"
    r"pads?|braces?|bandage|sleeves?|number|scarf|belt|bag|backpack|watch|bracelet|necklace|earrings?|costume|blouse|"
    r"polo|tutu|bodysuit|unitard|singlet|mask|trim|stripes?|logo|ball|tattoos?|clothes|clothing|outfit|trunks|cardigan|"
    r"sweatshirt|robe|gown|tie|ribbon|clip|pin)\b",
    re.IGNORECASE,
)
_FILLER = (
    r"(?:an?|the|his|her|their|its|very|rather|quite|fairly|slightly|somewhat|relatively|of|medium|average|long|short|"
    r"shoulder-length|medium-length|straight|curly|wavy|frizzy|thick|thin|dark|light|fair|pale|deep|olive|black|brown|"
    r"red|grey|gray|white|tied|pulled|swept|combed|slicked|worn|cut|back|up|down|loose|loosely|neatly|tightly|closely|"
    r"cropped|braided|dyed|tanned|warm|cool|strong|broad|tone[ds]?|above|below|height|is|are|that|which|low|high|"
    r"parted|receding|messy|tousled|untidy|spiky|flowing|natural|greying|graying|shaved|shaven|smooth|to|shoulders?|behind|sides?|on|at|in|knot|head|neck|"
    rf"{_BODY})"
)
_ONLY_FILLER = re.compile(rf"(?:{_FILLER}[\s]*)+", re.IGNORECASE)
_DEGREE = r"(?:very|rather|quite|fairly|slightly|somewhat|relatively)"
_ONLY_BODY = re.compile(rf"(?:(?:{_DEGREE}|not|is|are)\s+)*{_BODY}", re.IGNORECASE)

_VERBS = r"wears|wearing|has|have|having|is wearing|dressed in|carrying|holding|with|is|are|whose|appears|looks|seems"
_JOINT = re.compile(
    rf"(\s*[,;]\s*(?:(?:and|but)\s+)?(?:(?:who|which)\s+)?(?:(?:{_VERBS}|in)\s+)?|\.\s+|"
    rf"\s+(?:and|but)\s+(?:(?:{_VERBS}|in)\s+)?|\s+(?:who|which|that)\s+(?:{_VERBS})\s+|\s+(?:as well as|plus)\s+|"
    r"\s+(?:wears|wearing|has|have|having|is wearing|dressed in|carrying|holding|with|whose|in|on|over)\s+)",
    re.IGNORECASE,
)  # fmt: skip
_WEAK = ("in", "on", "over")  # what they lead in hangs on what is before


@dataclass(frozen=True)
class Withheld:
    """What is left of a text, and the phrases that were taken out of it, in its order."""

    text: str
    removed: tuple[str, ...]


@dataclass
class _Clause:
    joint: str  # what stands between it and the clause before
    text: str
    gone: bool = False

    @property
    def word(self) -> str:
        """The joint's last word; "" where it is a mark alone."""
        words = re.findall(r"[a-z]+", self.joint.lower())
        return words[-1] if words else ""


def without(text: str, topics: Iterable[Topic]) -> Withheld:
    """`text` without what it says of `topics`; the empty text where nothing else was said.

    >>> without("Long blond hair, red shoes.", ["hair"])
    Withheld(text='Red shoes.', removed=('Long blond hair',))
    """
    topics = tuple(topics)
    if not topics or not text.strip():
        return Withheld(text, ())
    removed: list[str] = []
    body, end = (text.strip()[:-1], ".") if text.strip().endswith(".") else (text.strip(), "")
    about = re.compile("|".join(_NOUNS[topic] for topic in topics), re.IGNORECASE)
    plain = _without_adjectives(body, topics, removed)
    if plain == body and not about.search(body) and not ("build" in topics and _says_body(body)):
        return Withheld(text, ())
    pieces = _JOINT.split(plain)
    clauses = [_Clause(joint, piece) for joint, piece in zip(["", *pieces[1::2]], pieces[::2], strict=True)]
    for clause in clauses:
        alone = "build" in topics and _ONLY_BODY.fullmatch(clause.text.strip()) is not None
        clause.gone = alone or about.search(clause.text) is not None
    _let_hang_together(clauses)
    removed += [clause.text.strip() for clause in clauses if clause.gone and clause.text.strip()]
    left = _join(clauses)
    if left and text.strip()[0].isupper():
        left = left[0].upper() + left[1:]
    if not removed:
        return Withheld(text, ())
    order = {phrase: text.find(phrase) for phrase in removed}
    return Withheld(left + end if left else "", tuple(sorted(removed, key=lambda phrase: order[phrase])))


def without_all(texts: Sequence[str], topics: Iterable[Topic]) -> tuple[tuple[str, ...], int]:
    """What is left of each text, empty and equal ones dropped, and how many phrases were removed."""
    topics = tuple(topics)
    found = [without(text, topics) for text in texts]
    return tuple(dict.fromkeys(one.text for one in found if one.text)), sum(len(one.removed) for one in found)


def _says_body(text: str) -> bool:
    return any(_ONLY_BODY.fullmatch(piece.strip()) for piece in _JOINT.split(text)[::2])


def _without_adjectives(text: str, topics: Sequence[Topic], removed: list[str]) -> str:
    """The text without adjectives of the topics before a person, behind "is", and without "of average build"."""
    which = "|".join(_ADJECTIVES[topic] for topic in topics)
    between = r"(?:[\w-]+,?\s+){0,3}?"
    before = re.compile(rf"\b({which})(?:,|\s+and)?\s+(?={between}{_PERSON}\b)", re.IGNORECASE)
    attribute = "|".join(_ATTRIBUTES[topic] for topic in topics)
    of = re.compile(rf"\s+of\s+((?:an?\s+)?(?:[\w-]+\s+){{0,4}}?(?:{attribute}))\b", re.IGNORECASE)
    stated = re.compile(
        rf"\b({_PERSON}|he|she|they)\s+(?:is|are|looks|appears|seems)\s+((?:{_DEGREE}\s+)?(?:{which}))\b"
        r"(?![\s-]+(?!(?:and|with|wearing|in)\b)\w)",
        re.IGNORECASE,
    )

    def take(match: re.Match[str]) -> str:
        removed.append(match[1])
        return ""

    def take_adjective(match: re.Match[str]) -> str:
        gap = text_now[match.end(1) :]
        if _THINGS.search(re.split(rf"\b{_PERSON}\b", gap, maxsplit=1, flags=re.IGNORECASE)[0]):
            return match[0]  # "black shirt man": of the shirt
        removed.append(match[1])
        return ""

    while True:  # one adjective after the other: what stands between them may be another
        text_now = text
        text = before.sub(take_adjective, text, count=1)
        if text == text_now:
            break
    text = of.sub(take, text)
    text = stated.sub(lambda match: removed.append(match[2]) or match[1], text)
    text = re.sub(r"\b([Aa])n(?=\s+[^aeiouAEIOU\W])", r"\1", text)
    return re.sub(r"\b([Aa])(?=\s+[aeio])", r"\1n", text) if removed else text


def _let_hang_together(clauses: Sequence[_Clause]) -> None:
    """Clauses of filling words alone share the fate of those that they belong to: "short and curly hair"."""
    follows = [*clauses[1:], None]
    led = [after is not None and _is_list(after.joint) for after in follows]  # "short" by "and curly hair"
    for clause, after, leads in reversed(list(zip(clauses, follows, led, strict=True))):
        if not clause.gone and leads and after and after.gone and clause.word not in _WEAK:
            clause.gone = _is_filler(clause)
    for before, clause, after, leads in zip(clauses, clauses[1:], follows[1:], led[1:], strict=False):
        if clause.gone or not before.gone or _THINGS.search(clause.text):
            continue
        if clause.word in _WEAK:
            clause.gone = re.search(rf"\b{_PERSON}\b", clause.text, re.IGNORECASE) is None
        else:
            of_the_next = leads and after is not None and not after.gone and not after.joint.strip().startswith(",")
            clause.gone = _is_filler(clause) and not of_the_next and not _says_verb(clause.joint)


def _is_filler(clause: _Clause) -> bool:
    return _ONLY_FILLER.fullmatch(clause.text.strip() or "a") is not None


def _is_list(joint: str) -> bool:
    return re.fullmatch(r"\s*,?\s*(?:and|but)?\s*", joint, re.IGNORECASE) is not None


def _says_verb(joint: str) -> bool:
    return re.search(rf"\b(?:{_VERBS})\b", joint, re.IGNORECASE) is not None


def _join(clauses: Sequence[_Clause]) -> str:
    """The clauses that stay, each behind the joint that fits now."""
    out, lost = "", ""  # lost: the joint of the first of the clauses before it that went
    for clause in clauses:
        if clause.gone or not clause.text.strip():
            lost = lost or clause.joint or " "
            continue
        joint = clause.joint
        if lost and out:
            joint = _bridge(lost, joint)
        elif not out:
            joint = joint.lstrip(" ,;.") if _says_verb(joint) or clause.word in _WEAK else ""
            joint = re.sub(r"^(?:and|but|who)\s+|^(?:with|has|have|having|whose|is|are)\s+", "", joint, flags=re.I)
        if joint.startswith(". ") and clause.text:
            clause.text = clause.text[0].upper() + clause.text[1:]
        out += joint + clause.text
        lost = ""
    return re.sub(r"\s+", " ", out).strip(" ,;")


def _bridge(lost: str, own: str) -> str:
    """The joint between two clauses that stay, from the first lost one's joint and the second one's own."""
    if own.lstrip().startswith("."):
        return own
    if lost.lstrip().startswith("."):
        return ". "
    if _says_verb(own) or re.search(r"\b(?:in|on|over)\b", own):
        bare = re.sub(r"^\s*(?:,|;)?\s*(?:and|but)\s+", " ", own, flags=re.IGNORECASE)
        who = re.match(r"\s+(?:who|which|that)\b", lost, re.IGNORECASE)
        finite = re.match(r"\s+(?:wears|has|is|are|have)\b", bare, re.IGNORECASE)
        return f"{who[0]}{bare}" if who and finite else bare if lost.strip() not in (",", ";") else own
    return lost if _says_verb(lost) else own
