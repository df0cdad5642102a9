"""How alike two chunks of text are, as the client measures it."""

import re

from rapidfuzz.distance import Levenshtein

from services.protocols.javascript import SPACES, to_units

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
_NO_BLANKS = re.compile("[\x1c-\x1f]")
"""Characters that Python's `split` counts as blank and the client does not."""

_TO_BLANK = str.maketrans(dict.fromkeys(SPACES, " "))


def normalised(text: str) -> str:
    """Return `text` with plain quotes and dashes, single blanks, and no blank at its ends."""
    if text.isascii():
        if not _NO_BLANKS.search(text):
            return " ".join(text.split())
    else:
        text = text.translate(_TYPOGRAPHY)
    return " ".join(filter(None, text.translate(_TO_BLANK).split(" ")))


def similarity(one: str, other: str, floor: float = 0.0) -> float:
    """Return 1 − distance ÷ longer length of two normalised texts, 1 when they are equal, in UTF-16 units.

    A similarity that is not above `floor` is given as `floor` or less, which is found out much faster.
    """
    if one == other:
        return 1.0
    one, other = (text if text.isascii() else to_units(text) for text in (one, other))
    longer = max(len(one), len(other))
    # One more than needed keeps a rounding error from cutting off a similarity just above the floor.
    limit = min(longer, int((1 - floor) * longer) + 1)
    distance = Levenshtein.distance(one, other, score_cutoff=limit)
    return 1 - distance / longer
