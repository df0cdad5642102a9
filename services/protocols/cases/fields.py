"""Reads JSON documents field by field; what is wrong is named by its path."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")
Reader = Callable[[object, str], T]
"""Makes a value of what stands at a path of a document, or raises CaseError."""

MAX_DEPTH = 100
"""Levels of lists and objects within each other that a document may have."""


class CaseError(ValueError):
    """A document is no case.

    Attributes:
        field: path of the field that is wrong, such as `expected.tool`; empty for the document itself.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


def record(kind: Callable[..., T], /, *required: str, **readers: Reader[object]) -> Reader[T]:
    """Return a reader of objects that makes a `kind` of them; a dataclass has defaults for what an object lacks.

    The fields are read in the order of `readers`; those of `required` have no default in a document.
    """
    fields: Mapping[str, Any] = getattr(kind, "__dataclass_fields__", {})
    missing = dataclasses.MISSING
    defaults = {name for name, field in fields.items() if not field.default is field.default_factory is missing}
    needed = {name for name in readers if name in required or name not in defaults}

    def read(value: object, path: str) -> T:
        document = mapping(value, path)
        place = f"{path}." if path else ""
        values = {}
        for name, reader in readers.items():
            if name in document:
                values[name] = reader(document[name], f"{place}{name}")
            elif name in needed:
                raise CaseError(f"{place}{name}", "is missing")
        for name in document:
            if name not in readers:
                raise CaseError(f"{place}{name}", "is unknown")
        return kind(**values)

    return read


def or_none(read: Reader[T]) -> Reader[T | None]:
    """Return a reader that takes null for None."""
    return lambda value, path: None if value is None else read(value, path)


def depth_of(value: object, limit: int) -> int:
    """Return how many levels of lists and objects stand within each other, at most `limit` + 1."""
    depth, level = 0, [value]
    while level and depth <= limit:
        inner = [nested for nested in level if isinstance(nested, dict | list)]
        level = [entry for nested in inner for entry in (nested.values() if isinstance(nested, dict) else nested)]
        depth += bool(inner)
    return depth


def text(value: object, path: str) -> str:
    """Return a text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise CaseError(path, f"must be text, not {type(value).__name__}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CaseError(path, f"holds half of a surrogate pair at character {error.start}") from error
    return value


def name(value: object, path: str) -> str:
    """Return a text that names something: it holds no NUL."""
    string = text(value, path)
    if "\0" in string:
        raise CaseError(path, f"holds NUL at character {string.index(chr(0))}")
    return string


def boolean(value: object, path: str) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise CaseError(path, f"must be true or false, not {type(value).__name__}")
    return value


def count(value: object, path: str) -> int:
    """Return a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CaseError(path, "must be a whole number from 1")
    return value


def anything(value: object, path: str) -> object:
    """Return the value as it is."""
    return value


def mapping(value: object, path: str) -> Mapping[str, object]:
    """Return an object."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CaseError(path, f"must be an object, not {type(value).__name__}")
    return MappingProxyType(value)


def texts(value: object, path: str) -> Mapping[str, str]:
    """Return an object whose keys are names and whose values are texts."""
    entries = {name(key, path): text(entry, f"{path}.{key}") for key, entry in mapping(value, path).items()}
    return MappingProxyType(entries)


def each(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """Return a reader of lists whose entries `read` reads."""

    def read_all(value: object, path: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise CaseError(path, f"must be a list, not {type(value).__name__}")
        return tuple(read(entry, f"{path}[{index}]") for index, entry in enumerate(value))

    return read_all


names = each(name)
strings = each(text)
