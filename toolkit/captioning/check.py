"""Is an answer a caption? `check(answer)` cleans it and names doubts; `contradictions` compares an identity's captions.

A doubtful caption is kept and marked: a person decides in the review, and nothing is dropped in silence.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

CLIP_TOKENS = 75  # 77 with the start and end tokens
SHORTEST, REPEATED = 4, 3  # words; times one run of three words may stand

QUOTES = str.maketrans(dict.fromkeys("‘’‛ʼ´′＇", "'") | dict.fromkeys("“”„‟″＂", '"'))  # before NFKC, which splits ´
REFUSAL = re.compile(
    r"\b(i(?:'m| am) (?:\w+ )?sorry|i apologi[sz]e|i (?:can't|can ?not|could(?:n't| not)|won't|will not)\b|"
    r"i(?:'m| am) (?:unable|not able)|"
    r"unable to (?:assist|comply|describe|determine|help|identify|provide)|as an ai\b|as a language model|"
    r"can(?:'t| ?not) (?:assist|identify|describe|help)|no (?:image|picture)s? (?:was|were|is|are))",
    re.IGNORECASE,
)
OPENING = re.compile(
    r"^(?:sure|certainly|of course|here(?:'s| is)[^:]*|answer|caption|description)\b[^:\n]{0,40}:\s*", re.I
)
UNSEEN = re.compile(
    r"\b(?:not (?:clearly )?visible|can(?:'t| ?not) be seen|unclear|unknown|not shown)\b", re.IGNORECASE
)

# What tells team-mates apart, the most telling first.
TELLING = (
    r"\bnumber\b|#\d",
    r"\bhair|\bbald|\bponytail|\bbun\b|\bbraid|\bbeard",
    r"\bshoes?\b|\bsneakers?\b|\bboots?\b",
    r"\bsocks?\b",
    r"\bheadband|\bwristband|\bknee|\bglasses|\btattoo|\bbandage|\bcap\b|\bsleeves?\b",
    r"\bskin\b",
    r"\btall\b|\bshort\b|\bbuild\b|\bslim\b|\bstocky\b|\bheavy\b|\bheight\b",
)
# fmt: off
COLOURS = frozenset((
    "black", "white", "grey", "gray", "red", "orange", "yellow", "green", "blue", "navy", "purple", "violet",
    "pink", "brown", "beige", "gold", "silver", "blond", "blonde"
))
# fmt: on
THINGS = (
    "hair",
    "shirt",
    "jersey",
    "top",
    "shorts",
    "skirt",
    "dress",
    "trousers",
    "pants",
    "shoes",
    "socks",
    "sleeves",
)
SAME_COLOUR = {"gray": "grey", "blonde": "blond", "violet": "purple", "navy": "blue"}


def count_words(text: str) -> int:
    """A token counter for when CLIP's tokenizer is not wanted: words and marks, rather more than CLIP's tokens."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def check(answer: str, count_tokens: Callable[[str], int] = count_words) -> tuple[str, tuple[str, ...]]:
    """(caption, doubts) of a captioner's answer.

    Typographic quotes become plain ones and letters of another width the usual ones (NFKC), as CLIP's tokenizer does.
    Clauses that say something is not visible are cut, since CLIP would read the thing and not the "not". What is longer
    than CLIP reads keeps its most telling phrases.

    >>> check("Caption: Red shoes.")
    ('Red shoes', ('too short',))
    """
    doubts = []
    text = re.sub(r"(?<=\w)`(?=\w)", "'", unicodedata.normalize("NFKC", answer.translate(QUOTES)).strip())
    text = re.sub(r"[*_`\"]+|^\s*[-•]\s*", " ", text, flags=re.MULTILINE)
    text = OPENING.sub("", re.sub(r"\s+", " ", text).strip())
    if REFUSAL.search(text):
        return text, ("refusal",)
    text = ", ".join(phrase for phrase in _phrases(text) if not UNSEEN.search(phrase)) or text
    words = re.findall(r"\w+", text.lower())
    if len(words) < SHORTEST:
        doubts.append("too short")
    if words and max(Counter(zip(words, words[1:], words[2:], strict=False)).values(), default=0) >= REPEATED:
        doubts.append("repetition")
    if count_tokens(text) > CLIP_TOKENS:
        text = _shorten(text, count_tokens)
        doubts.append("shortened")
    return text, tuple(doubts)


def _phrases(text: str) -> list[str]:
    return [part.strip(" .") for part in re.split(r"[,;.](?=\s|$)|\s+and\s+(?=\w+ing\b)", text) if part.strip(" .")]


def _shorten(text: str, count_tokens: Callable[[str], int]) -> str:
    """The most telling phrases that fit, the most telling first."""
    kept: list[str] = []
    for phrase in sorted(dict.fromkeys(_phrases(text)), key=_rank):
        if count_tokens(", ".join([*kept, phrase])) <= CLIP_TOKENS:
            kept.append(phrase)
    return ", ".join(kept) or " ".join(text.split()[: CLIP_TOKENS // 2])


def _rank(phrase: str) -> int:
    return next((i for i, pattern in enumerate(TELLING) if re.search(pattern, phrase, re.I)), len(TELLING))


def facts(text: str) -> dict[str, set[str]]:
    """What can be held against another caption: the colours of things, and the numbers.

    >>> facts("a woman with number 7 and red shoes")
    {'number': {'7'}, 'shoes': {'red'}}
    """
    words = re.findall(r"#?\w+", text.lower())
    found: dict[str, set[str]] = {}
    for i, word in enumerate(words):
        thing = next((t for t in THINGS if word in (t, t.rstrip("s"))), None)
        if thing:
            before = words[max(0, i - 4) : i]
            cut = max((j + 1 for j, w in enumerate(before) if w in THINGS or w in ("and", "with")), default=0)
            colours = {SAME_COLOUR.get(w, w) for w in before[cut:] if w in COLOURS}
            if colours:
                found.setdefault(thing, set()).update(colours)
        if word == "number" and i + 1 < len(words) and words[i + 1].isdigit():
            found.setdefault("number", set()).add(words[i + 1])
        if re.fullmatch(r"#\d+", word):
            found.setdefault("number", set()).add(word[1:])
    return found


def contradictions(captions: Sequence[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """(tracklet id, text) pairs of one identity -> the doubts of each tracklet whose caption contradicts another's.

    >>> contradictions([("0001", "red shoes"), ("0002", "blue shoes")])
    {'0001': ('contradicts 0002: shoes red or blue',), '0002': ('contradicts 0001: shoes blue or red',)}
    """
    known = [(tracklet, facts(text)) for tracklet, text in captions]
    doubts: dict[str, list[str]] = {}
    for i, (tracklet, mine) in enumerate(known):
        for j, (other, theirs) in enumerate(known):
            for thing in sorted(mine.keys() & theirs.keys()) if i != j else ():
                if not mine[thing] & theirs[thing]:
                    sentence = f"contradicts {other}: {thing} {_either(mine[thing])} or {_either(theirs[thing])}"
                    doubts.setdefault(tracklet, []).append(sentence)
    return {tracklet: tuple(found) for tracklet, found in doubts.items()}


def _either(values: Iterable[str]) -> str:
    return "/".join(sorted(values))
