"""Forms in which values of calls are compared: equal for what the client takes for the same."""

from collections.abc import Callable

from services.protocols.javascript import trim
from services.protocols.roo.file_text import decoded
from services.protocols.roo.paths import same_path

Normal = Callable[[object], object]


def trimmed(value: object) -> object:
    """Return a text without blanks around it, and anything else as it is."""
    return trim(value) if isinstance(value, str) else value


def plain_path(value: object) -> object:
    """Return a path in the one spelling that all its spellings share."""
    return same_path(trim(value)) if isinstance(value, str) else value


def plain_command(value: object) -> object:
    """Return a command as the client decodes it."""
    return trim(decoded(value)) if isinstance(value, str) else value


def defaulted(default: object, normal: Normal = trimmed) -> Normal:
    """Return a normal form that takes an absent or empty value for `default`."""
    return lambda value: normal(default if value in (None, "") else value)
