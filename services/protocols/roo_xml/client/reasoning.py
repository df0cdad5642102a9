"""The block of reasoning at an answer's start, which the connection splits off before the client reads on."""

from __future__ import annotations

import re

_TAG = re.compile("< *(/?) *think *>")
_BEGUN = re.compile("< *(?:/ *)?(?:t(?:h(?:i(?:n(?:k *)?)?)?)?)?")


def reasoning_end(answer: str) -> int:
    """Return where the block ends that begins with the answer's first character; 0 without one.

    Blocks nest, and one that is never closed takes the whole answer. A closing tag alone is dropped.
    """
    opening = _TAG.match(answer)
    if opening is None:
        return 0
    if opening[1]:
        return opening.end()
    depth, position = 1, opening.end()
    while depth and (found := answer.find("<", position)) >= 0:
        if tag := _TAG.match(answer, found):
            depth += -1 if tag[1] else 1
            position = tag.end()
        else:
            begun = _BEGUN.match(answer, found)
            # The character that breaks a tag off is spent, even when it could begin another.
            position = (begun.end() if begun else found) + 1
    return len(answer) if depth else position
