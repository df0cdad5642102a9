"""Mending an answer that fails: as much of it as may stay, and of a right answer only what is needed."""

import re
from collections.abc import Callable
from difflib import SequenceMatcher

from services.protocols.turn import Message

_PIECE = re.compile(r"\w+|\s+|.", re.DOTALL)
# Of longer answers that repeat themselves the comparison would take seconds; its time grows by the third power.
_MAX_PIECES = 800
_MAX_DIFFERENCES = 64


def healed(own: Message, right: Message, conforms: Callable[[Message], bool]) -> Message:
    """Return the right answer with each of the own answer's words that lets it conform all the same.

    Both are compared word by word, and difference after difference goes back to what the own answer says, unless the
    answer fails by it. Equal to `right` where nothing may go back, where calls beside the text are of other functions,
    and where the answers are too long or too different to be compared.

    Args:
        own: An answer that fails.
        right: One that conforms.
        conforms: Whether an answer conforms; asked once for each difference.
    """
    if _names(own) != _names(right):
        return right
    parts = [_Part(before, after) for before, after in zip(_texts(own), _texts(right), strict=True)]
    differences = [(part, place) for part in parts for place in part.differences]
    if len(differences) > _MAX_DIFFERENCES:
        return right
    result = right
    for part, place in differences:
        part.own_places.add(place)
        tried = _with_texts(right, [each.text() for each in parts])
        if conforms(tried):
            result = tried
        else:
            part.own_places.remove(place)
    return result


class _Part:
    """One text of both answers, in pieces; at `own_places` it says what the own answer says."""

    def __init__(self, own: str, right: str) -> None:
        self._own, self._right = _PIECE.findall(own), _PIECE.findall(right)
        is_short = len(self._own) + len(self._right) <= _MAX_PIECES
        matcher = SequenceMatcher(None, self._own, self._right, autojunk=False)
        whole = ("equal", 0, 0, 0, len(self._right))
        self._steps = matcher.get_opcodes() if is_short else [whole]
        self.differences = [place for place, step in enumerate(self._steps) if step[0] != "equal"]
        self.own_places: set[int] = set()

    def text(self) -> str:
        pieces: list[str] = []
        for place, (_, own_begin, own_end, begin, end) in enumerate(self._steps):
            pieces += self._own[own_begin:own_end] if place in self.own_places else self._right[begin:end]
        return "".join(pieces)


def _names(message: Message) -> list[str]:
    return [call["function"]["name"] for call in message.get("tool_calls", ())]


def _texts(message: Message) -> list[str]:
    return [message["content"], *(call["function"]["arguments"] for call in message.get("tool_calls", ()))]


def _with_texts(message: Message, texts: list[str]) -> Message:
    content, *arguments = texts
    result: Message = {**message, "content": content}
    if arguments:
        result["tool_calls"] = [
            {**call, "function": {"name": call["function"]["name"], "arguments": text}}
            for call, text in zip(message["tool_calls"], arguments, strict=True)
        ]
    return result
