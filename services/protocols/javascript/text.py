"""String rules of ECMAScript where they differ from Python's."""

import json

SPACES = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""Every character that ECMAScript's `trim` and `\\s` count as blank."""

SPACE_CLASS = f"[{SPACES}]"
"""A regular-expression class equal to ECMAScript's `\\s`."""


def trim(text: str) -> str:
    """Return `text` without blanks at its ends, as ECMAScript's `String.prototype.trim` does."""
    return text.strip(SPACES)


def num_units(text: str) -> int:
    """Return the length of `text` in UTF-16 units."""
    if text.isascii():
        return len(text)
    return len(text) + sum(1 for char in text if char > "\uffff")


def to_units(text: str) -> str:
    """Return `text` with one character per UTF-16 unit, surrogate halves standing for themselves."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, memoryview(raw).cast("H")))


def from_units(units: str) -> str:
    """Return the text that `to_units` took apart; a half without its partner becomes U+FFFD."""
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def parse_json(text: str) -> object:
    """Return the value of a JSON text as ECMAScript's `JSON.parse` reads it: all numbers are doubles.

    Raises:
        ValueError: the text is no JSON, or nested too deep to be read.
    """
    try:
        return json.loads(text, parse_int=float, parse_constant=refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def refuse_constant(name: str) -> object:
    """Raise ValueError: `NaN` and `Infinity`, which Python's reader takes, are no JSON."""
    raise ValueError(f"{name} is no JSON")
