"""The functions that templates call: Go's own, and those that Ollama adds."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.lm.conversion.go_template.syntax import GoTemplateError
from services.lm.conversion.go_template.values import Pointer, Struct, json_of, quoted, text_of, truth

_VERB: Final = re.compile(r"%(.)", re.DOTALL)
_TYPESCRIPT: Final = {
    **{name: name for name in ("string", "boolean", "null")},
    "number": "number",
    "integer": "number",
    "array": "any[]",
    "object": "Record<string, any>",
}


def call(name: str, arguments: list[Any]) -> Any:
    """Return what a function gives; `and` and `or`, which do not need all arguments, are the interpreter's.

    Raises:
        GoTemplateError: Go has no such function, it is not known here, or it refuses the arguments.
    """
    function = _FUNCTIONS.get(name)
    if function is None:
        raise GoTemplateError(f"The template calls {name}, which is not known here.")
    try:
        return function(*arguments)
    except (TypeError, IndexError) as error:
        raise GoTemplateError(f"The template calls {name} with what it does not take.") from error


def _kind(value: Any) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "nil" if value is None else "other"


def _compared(name: str, one: Any, other: Any) -> Any:
    kinds = {_kind(one), _kind(other)}
    if "other" in kinds or (len(kinds) > 1 and "nil" not in kinds):
        raise GoTemplateError(f"The template compares values of two kinds, or lists, by {name}, which Go refuses.")
    return _COMPARISONS[name](one, other)


def _equal(one: Any, other: Any, *others: Any) -> bool:
    return any(_compared("eq", one, item) for item in (other, *others))


def _ordered(name: str) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        if {_kind(one), _kind(other)} & {"nil", "bool"}:
            raise TypeError
        return bool(_compared(name, one, other))

    return compare


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda one, other: one == other,
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: _bytes(one) < _bytes(other),
    "le": lambda one, other: _bytes(one) <= _bytes(other),
    "gt": lambda one, other: _bytes(one) > _bytes(other),
    "ge": lambda one, other: _bytes(one) >= _bytes(other),
}


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _length(value: Any) -> int:
    if isinstance(value, Struct | Pointer) or not isinstance(value, str | list | Mapping):
        raise TypeError
    return len(_bytes(value))


def _index(value: Any, *places: Any) -> Any:
    for place in places:
        if isinstance(value, list | str) and _kind(place) == "int" and place >= 0:
            value = _bytes(value)[place]
        elif isinstance(value, Mapping) and not isinstance(value, Pointer) and isinstance(place, str):
            value = value.get(place)
        else:
            raise TypeError
    return value


def _slice(value: Any, *places: Any) -> Any:
    if not isinstance(value, list | str) or len(places) > 2 or {_kind(place) for place in places} - {"int"}:
        raise TypeError
    content = _bytes(value)
    start = places[0] if places else 0
    end = places[1] if len(places) > 1 else len(content)
    if not 0 <= start <= end <= len(content):
        raise TypeError
    part = content[start:end]
    try:
        return part.decode() if isinstance(part, bytes) else type(value)(part)
    except UnicodeDecodeError as error:
        raise GoTemplateError("The template cuts a character in two.") from error


def _print(*values: Any) -> str:
    """Texts stand beside their neighbours, other values have a space between them."""
    text = ""
    for number, value in enumerate(values):
        is_apart = number and not isinstance(value, str) and not isinstance(values[number - 1], str)
        text += " " * bool(is_apart) + text_of(value)
    return text


def _printf(form: str, *values: Any) -> str:
    left = list(values)

    def filled(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if not left or match[1] not in "svqdt":
            raise GoTemplateError(f"The template prints by the form {form!r}, which is not known here.")
        return _formatted(match[1], left.pop(0))

    text = _VERB.sub(filled, form)
    if left:
        raise TypeError
    return text


def _formatted(verb: str, value: Any) -> str:
    expected = {"q": "string", "d": "int", "t": "bool"}.get(verb)
    if (expected and _kind(value) != expected) or (verb == "s" and _kind(value) in ("int", "float", "bool", "nil")):
        raise TypeError
    return quoted(value) if verb == "q" else text_of(value)


def _typescript_type(value: Any) -> str:
    if not isinstance(value, Struct) or "AnyOf" not in value.fields:
        return "any"
    if value.fields["AnyOf"]:
        return " | ".join(map(_typescript_type, value.fields["AnyOf"]))
    return " | ".join(_TYPESCRIPT.get(name, "any") for name in value.fields["Type"]) or "any"


def _date(days: int) -> Callable[..., str]:
    return lambda *_texts: (datetime.now(UTC).astimezone() + timedelta(days=days)).strftime("%Y-%m-%d")


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda one, other: _compared("ne", one, other),
    **{name: _ordered(name) for name in ("lt", "le", "gt", "ge")},
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
    "printf": _printf,
    "json": json_of,
    "toTypeScriptType": _typescript_type,
    "currentDate": _date(0),
    "yesterdayDate": _date(-1),
}
