"""How alike two chunks of text are, as the client measures it."""

from __future__ import annotations

from services.protocols.javascript import SPACES, num_units, to_units

_TYPOGRAPHY = str.maketrans(
    {
        "\u201c": '"',
        "\u201d": '"',
        "\u2018": "'",
        "\u2019": "'",
        "\u2026": "...",
        "\u2014": "-",
        "\u2013": "-",
        "\u00a0": " ",
    }
)
_TO_BLANK = str.maketrans(dict.fromkeys(SPACES, " "))


def normalised(text: str) -> str:
    """Return `text` with plain quotes and dashes, single blanks, and no blank at its ends."""
    if not text.isascii():
        text = text.translate(_TYPOGRAPHY)
    return " ".join(filter(None, text.translate(_TO_BLANK).split(" ")))


def similarity(one: str, other: str) -> float:
    """Return 1 − distance ÷ longer length of two normalised texts; 0 when `other` is empty, 1 when they are equal."""
    if one == other:
        return 1.0
    longer = max(num_units(one), num_units(other))
    return 1 - edit_distance(to_units(one), to_units(other)) / longer


def edit_distance(one: str, other: str) -> int:
    """Return the Levenshtein distance, by Myers' bit vectors over whole integers."""
    if not one or not other:
        return len(one) + len(other)
    places: dict[str, int] = {}
    for index, char in enumerate(one):
        places[char] = places.get(char, 0) | 1 << index
    top = 1 << (len(one) - 1)
    mask = (1 << len(one)) - 1
    plus, minus, distance = mask, 0, len(one)
    for char in other:
        equal = places.get(char, 0)
        vertical = equal | minus
        diagonal = (((equal & plus) + plus) ^ plus) | equal
        up = (minus | ~(diagonal | plus)) & mask
        down = plus & diagonal
        distance += bool(up & top) - bool(down & top)
        up = (up << 1 | 1) & mask
        plus = (down << 1 | ~(vertical | up)) & mask
        minus = up & vertical
    return distance
