"""Function calls put together from the pieces of a stream, however a server numbers them."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.test_runner.backends.openai_endpoint.json_values import mapping_in, text_in

_MAX_CALLS = 128
_MAX_INDEX = 1 << 16
_OTHER_NAMES = ("parameters", "params", "args", "kwargs", "input")
_MARK = re.compile(r'\\.|["{}\[\]]', re.DOTALL)


class GarbledError(Exception):
    """The endpoint says something that is no answer; the message is one sentence."""


@dataclass(frozen=True)
class _Piece:
    """What one entry of a chunk says; `value` are arguments that are no text."""

    index: int | None = None
    call_id: str = ""
    name: str = ""
    text: str = ""
    value: object = None

    @property
    def has_arguments(self) -> bool:
        return bool(self.text.strip()) or self.value is not None

    @property
    def is_empty(self) -> bool:
        return not (self.call_id or self.name or self.text) and self.value is None


@dataclass
class _Brackets:
    """Whether the JSON that came so far is closed; looks at each character once."""

    depth: int = 0
    is_text: bool = False
    has_begun: bool = False
    rest: str = ""

    def feed(self, text: str) -> None:
        text, self.rest = self.rest + text, ""
        body = text.rstrip("\\")
        if (len(text) - len(body)) % 2:
            text, self.rest = text[:-1], "\\"
        for match in _MARK.finditer(text):
            mark = match[0]
            if mark == '"':
                self.is_text = not self.is_text
            elif not self.is_text and len(mark) == 1:
                self.depth += 1 if mark in "{[" else -1
                self.has_begun = True

    @property
    def are_closed(self) -> bool:
        return self.has_begun and self.depth <= 0 and not self.is_text


@dataclass
class _Call:
    """A call that has begun; `announced` is what may begin the next one at its place once arguments follow."""

    index: int | None
    call_id: str = ""
    name: str = ""
    texts: list[str] = field(default_factory=list)
    value: object = None
    announced: _Piece | None = None
    brackets: _Brackets = field(default_factory=_Brackets)

    def add(self, piece: _Piece) -> None:
        self.call_id = self.call_id or piece.call_id
        self.name = self.name or piece.name
        self.texts.append(piece.text)
        self.brackets.feed(piece.text)
        if piece.value is not None:
            self._check_kept(piece.value)
            self.value = piece.value

    def _check_kept(self, value: object) -> None:
        """Raise GarbledError when `value`, in the place of what came before, would lose some of it."""
        if not self.value or self.value == value:
            return
        before, after = mapping_in(self.value), mapping_in(value)
        if not before or any(after.get(name) != entry for name, entry in before.items()):
            raise GarbledError("The endpoint's stream holds two sets of arguments for one function call.")

    @property
    def is_whole(self) -> bool:
        return bool(self.value) or self.brackets.are_closed

    @property
    def arguments(self) -> str:
        # A server may begin with an empty object and send the text of the arguments behind it.
        text = "".join(self.texts)
        if text.strip() and self.value and self.value != _loaded(text):
            raise GarbledError("The endpoint's stream holds two sets of arguments for one function call.")
        return text if text or self.value is None else json.dumps(self.value, ensure_ascii=False)


class CallAssembly:
    """The calls of one answer.

    A new id or a new name begins a new call, and so do new arguments behind whole ones that come with a name; the
    index is only where a piece without either belongs.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def take(self, entries: Sequence[Any]) -> bool:
        """Take the entries of one chunk, and return whether there was anything in them.

        Raises:
            GarbledError: They are no calls.
        """
        pieces = [_piece(entry, place if len(entries) > 1 else None) for place, entry in enumerate(entries)]
        pieces = [piece for piece in pieces if not piece.is_empty]
        for piece in pieces:
            self._take(piece)
        return bool(pieces)

    def finished(self) -> tuple[tuple[str, str], ...]:
        """Return name and arguments of each call, in order.

        Raises:
            GarbledError: A call has no name, or two sets of arguments.
        """
        if any(not call.name for call in self._calls):
            raise GarbledError("The endpoint's stream holds a function call without a name.")
        calls = self._calls
        if all(call.index is not None for call in calls):
            calls = sorted(calls, key=lambda call: call.index or 0)
        return tuple((call.name, call.arguments) for call in calls)

    @property
    def has_values(self) -> bool:
        """Whether arguments came as objects instead of text."""
        return any(call.value is not None for call in self._calls)

    @property
    def shares_index(self) -> bool:
        """Whether several calls have one index, or none."""
        return any(count > 1 for count in Counter(call.index for call in self._calls).values())

    def _take(self, piece: _Piece) -> None:
        call = self._nearest(piece)
        if call is None:
            return self._begin(piece)
        if call.announced is not None and piece.has_arguments:
            announced, call.announced = call.announced, None
            if not piece.name:
                name = announced.name or call.name
                return self._begin(replace(piece, name=name, call_id=piece.call_id or announced.call_id))
        if _names_another(call, piece) or (call.is_whole and piece.has_arguments and _names_anything(call, piece)):
            return self._begin(piece)
        if call.is_whole and not piece.has_arguments and _names_anything(call, piece):
            call.announced = piece
        else:
            call.add(piece)
        return None

    def _nearest(self, piece: _Piece) -> _Call | None:
        """Return the call that the piece goes on with unless it begins another."""
        same_id = [call for call in self._calls if piece.call_id and call.call_id == piece.call_id]
        same_index = [call for call in self._calls if piece.index is None or call.index == piece.index]
        both = [call for call in same_id if call in same_index]
        if both or same_index:
            return (both or same_index)[-1]
        # Another index is another call, unless the piece names none.
        is_rest = not piece.name and (bool(same_id) or not piece.call_id)
        others = same_id or self._calls
        return others[-1] if is_rest and others else None

    def _begin(self, piece: _Piece) -> None:
        if len(self._calls) >= _MAX_CALLS:
            raise GarbledError(f"The endpoint's stream holds more than {_MAX_CALLS} function calls.")
        call = _Call(piece.index)
        call.add(piece)
        self._calls.append(call)


def _names_another(call: _Call, piece: _Piece) -> bool:
    if piece.name and call.name and piece.name != call.name:
        return True
    # Some servers draw an id for each piece; only the first of a call has a name.
    return bool(piece.name and piece.call_id and call.call_id and piece.call_id != call.call_id)


def _names_anything(call: _Call, piece: _Piece) -> bool:
    """Whether the piece could begin a call like the one before: it says its name again, or has an id of its own."""
    return bool(piece.name) or bool(piece.call_id and call.call_id and piece.call_id != call.call_id)


def _piece(entry: object, place: int | None) -> _Piece:
    fields = mapping_in(entry)
    function = mapping_in(fields.get("function")) or fields
    arguments = function.get("arguments")
    _check_read(fields, function, arguments)
    index = _index(fields.get("index"))
    return _Piece(
        index=place if index is None else index,
        call_id=text_in(fields.get("id")).strip(),
        name=text_in(function.get("name")).strip(),
        text=text_in(arguments),
        value=None if isinstance(arguments, str) else arguments,
    )


def _check_read(fields: Mapping[str, Any], function: Mapping[str, Any], arguments: object) -> None:
    """Raise GarbledError when an entry holds arguments in a place where none are read."""
    names = [*_OTHER_NAMES, *(("arguments",) if function is not fields else ())]
    places = [(fields, name) for name in names] + [(function, name) for name in _OTHER_NAMES]
    for place, name in places:
        if place.get(name) not in (None, "", "{}", {}, [], arguments):
            raise GarbledError(f"The endpoint's stream holds arguments of a function call as {name!r}, out of place.")


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _index(value: object) -> int | None:
    """Return the index, None when there is none that can be read.

    Raises:
        GarbledError: No answer has so many calls.
    """
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        value = int(value[:9])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    if value > _MAX_INDEX:
        raise GarbledError("The endpoint's stream holds a function call that cannot be placed.")
    return value
