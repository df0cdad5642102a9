"""Values of JSON that nobody promises to be of any type."""

from collections.abc import Mapping, Sequence
from typing import Any


def mapping_in(value: object) -> Mapping[str, Any]:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def list_in(value: object) -> Sequence[Any]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list) else ()


def text_in(value: object) -> str:
    """Return a text that can be written in UTF-8, or an empty one."""
    # Half a surrogate pair has no form in UTF-8.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def count_in(value: object) -> int:
    """Return a number of things, 0 when it is none."""
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0
