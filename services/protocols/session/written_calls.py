"""Calls written into text as JSON objects, read so that nothing they say is lost in silence."""

import json
from collections.abc import Callable, Mapping

from services.protocols.javascript.text import refuse_constant

OPEN, CLOSE = "<tool_call>", "</tool_call>"

_ABOUT_CALLS: Mapping[str, type] = {"id": str, "call_id": str, "tool_call_id": str, "index": int}
_KINDS = ("function", "tool_call", "function_call")


def load_json(text: str) -> object:
    """Return the value of JSON text; ValueError also where reading it would lose one of two values of a key."""
    return json.loads(text, parse_constant=refuse_constant, object_pairs_hook=_object)


def load_json_at(text: str, start: int) -> tuple[object, int]:
    """Return the value of the JSON that begins at `start`, and its end; ValueError as in `load_json`."""
    return _DECODER.raw_decode(text, start)


def json_text(value: object) -> str:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False)


def raw_arguments(
    call: Mapping[str, object], names: tuple[str, ...] = ("arguments",), write: Callable[[object], str] = json_text
) -> str | None:
    """Return the raw arguments of a call that is a JSON object; None when reading them would lose something it says.

    Args:
        call: the object.
        names: what the arguments may be called; a call without any has none.
        write: makes the text of arguments that are no text.
    """
    there = [name for name in names if name in call]
    if len(there) > 1 or not isinstance(call.get("name"), str):
        return None
    if len(call) > 1 + len(there) and not all(
        name in ("name", *there) or _says_nothing(call, name, bool(there)) for name in call
    ):
        return None
    arguments = call[there[0]] if there else {}
    return arguments if isinstance(arguments, str) else write(arguments)


def _says_nothing(call: Mapping[str, object], name: str, has_arguments: bool) -> bool:
    """Whether an entry beside name and arguments is about the call itself; without arguments it may be one of them."""
    if name == "type":
        return call[name] in _KINDS
    return has_arguments and (call[name] in (None, "", [], {}) or isinstance(call[name], _ABOUT_CALLS.get(name, ())))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # A dict keeps the last value alone.
    value_by_name = dict(pairs)
    if len(value_by_name) != len(pairs):
        for name, value in pairs:
            if value_by_name[name] != value or isinstance(value_by_name[name], bool) != isinstance(value, bool):
                raise ValueError(f"{name[:64]!r} is there twice")
    return value_by_name


_DECODER = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=_object)
