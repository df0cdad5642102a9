"""Go's values in Python, and how Go prints them."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.lm.conversion.go_template.syntax import GoTemplateError

_NO_VALUE: Final = "<no value>"
_QUOTED: Final = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_HTML: Final = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})
_EXPONENT: Final = re.compile(r"e([+-])0*(\d)")


@dataclass(frozen=True, eq=False)
class Struct:
    """A struct: its fields in order, and by what key each is JSON, with whether it is left out when empty."""

    fields: Mapping[str, Any]
    json_keys: Mapping[str, tuple[str, bool]]


class JsonList(list[Any]):
    """A slice whose `String` method gives JSON."""


class JsonMap(dict[str, Any]):
    """A map whose `String` method gives JSON."""


class NilSlice(list[Any]):
    """A slice that was never set."""


class NilMap(dict[str, Any]):
    """A map that was never set, whose `String` method gives {}."""


class NilTools(list[Any]):
    """A list of functions that was never set, whose `String` method gives JSON."""


class Pointers(list[Any]):
    """A slice of pointers: printed whole, it would be addresses."""


class TypeNames(list[str]):
    """The types of a schema, which are one text where they are one."""


class Pointer(dict[str, Any]):
    """A pointer to an ordered map: printed inside of something else, it would be an address."""


def truth(value: Any) -> bool:
    """Whether Go takes a value for true: it is not empty, not zero and not nil."""
    return True if isinstance(value, Struct | Pointer) else bool(value)


def printed(value: Any) -> str:
    """Return what an action prints for its value."""
    return _NO_VALUE if value is None else text_of(value)


def text_of(value: Any, *, depth: int = 0) -> str:
    """Return what `%v` gives for a value, at the top or inside of another."""
    if isinstance(value, Pointers) or (isinstance(value, Pointer) and depth):
        raise GoTemplateError("The template prints an address of memory, which is another in each process.")
    for kind, text in _TEXTS:
        if isinstance(value, kind):
            return text(value)
    raise GoTemplateError(f"The template prints a {type(value).__name__}, which is not known here.")


def _inside(value: Any) -> str:
    return text_of(value, depth=1)


def _struct_text(value: Struct) -> str:
    return "{" + " ".join(map(_inside, value.fields.values())) + "}"


def _map_text(value: Mapping[str, Any]) -> str:
    return "map[" + " ".join(f"{key}:{_inside(value[key])}" for key in _sorted(value)) + "]"


def _list_text(value: list[Any]) -> str:
    return "[" + " ".join(map(_inside, value)) + "]"


def _float_text(value: float) -> str:
    """The shortest digits, with an exponent from a million on, or below 0.0001."""
    return float_digits(value) if value == 0 or 1e-4 <= abs(value) < 1e6 else exponent_form(value)


def float_digits(value: float) -> str:
    """Return a number without exponent, by its shortest digits."""
    sign, digits, exponent = _parts(value)
    if exponent >= len(digits):
        return sign + digits.ljust(exponent, "0")
    return f"{sign}{digits[:exponent] or '0'}.{'0' * max(0, -exponent)}{digits[max(exponent, 0) :]}"


def exponent_form(value: float) -> str:
    """Return a number as 1.5e+21, by its shortest digits."""
    sign, digits, exponent = _parts(value)
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if exponent > 0 else '-'}{abs(exponent - 1):02}"


def _parts(value: float) -> tuple[str, str, int]:
    """Sign, significant digits, and how many of them stand before the point."""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    zeros = len(whole + fraction) - len(digits)
    return "-" * (value < 0), digits.rstrip("0") or "0", len(whole) - zeros + int(exponent or 0)


def quoted(text: str) -> str:
    """Return what `%q` gives for a text."""
    return '"' + "".join(map(_quoted_letter, text)) + '"'


def _quoted_letter(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter in _QUOTED or letter.isprintable():
        return _QUOTED.get(letter, letter)
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_of(value: Any) -> str:
    """Return what Go's JSON gives for a value: no spaces, keys of maps sorted, signs of HTML escaped."""
    for kind, text in _JSON:
        if isinstance(value, kind):
            return text(value)
    raise GoTemplateError(f"The template makes JSON of a {type(value).__name__}, which is not known here.")


def _struct_json(value: Struct) -> str:
    pairs = []
    for name, item in value.fields.items():
        key, leaves_out = value.json_keys.get(name, (name, False))
        if not (leaves_out and (item is None or (not isinstance(item, Struct | Pointer) and not item))):
            pairs.append((key, item))
    return _object(pairs)


def _object(pairs: list[tuple[str, Any]]) -> str:
    return "{" + ",".join(f"{_string_json(key)}:{json_of(item)}" for key, item in pairs) + "}"


def _list_json(value: list[Any]) -> str:
    return "[" + ",".join(map(json_of, value)) + "]"


def _string_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_HTML)


def _float_json(value: float) -> str:
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return float_digits(value)
    return _EXPONENT.sub(r"e\1\2", exponent_form(value))


def _sorted(value: Mapping[str, Any]) -> list[str]:
    return sorted(value, key=str.encode)


def json_value(value: Any) -> Any:
    """Return a value of Python's JSON as Go's decoder gives it: each number is a float64."""
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_value(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise GoTemplateError("The messages hold a number that JSON cannot.")
    return value


# The first kind that fits decides.
_TEXTS: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (type(None), lambda _: "<nil>"),
    (bool, lambda value: str(value).lower()),
    (str, lambda value: value),
    (float, _float_text),
    (int, str),
    (Struct, _struct_text),
    (TypeNames, lambda value: value[0] if len(value) == 1 else _list_text(value) if value else ""),
    (JsonList | JsonMap | NilTools, json_of),
    (NilMap, lambda _: "{}"),
    (list, _list_text),
    (Mapping, _map_text),
)
_JSON: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (type(None) | NilSlice | NilMap | NilTools, lambda _: "null"),
    (bool, lambda value: str(value).lower()),
    (str, _string_json),
    (float, _float_json),
    (int, str),
    (Struct, _struct_json),
    (TypeNames, lambda value: _string_json(value[0]) if len(value) == 1 else _list_json(value)),
    (list, _list_json),
    (Pointer, lambda value: _object(list(value.items()))),
    (Mapping, lambda value: _object([(key, value[key]) for key in _sorted(value)])),
)
