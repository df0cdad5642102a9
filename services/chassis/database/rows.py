"""Dataclasses as rows of tables, and back: a field and a column of the same name are the same thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_type_hints

from sqlalchemy import Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")

_Reader = Callable[[Any], Any]


def row_of(item: Any, table: Table, **values: Any) -> dict[str, Any]:
    """Return the row of a dataclass: its fields that have a column, an enum by its value; `values` replaces and adds.

    The tuple of a field becomes a list, so that what is inserted equals what is read.
    """
    kind: Any = type(item)
    row = {name: _written(getattr(item, name)) for name in _columns(kind, table) if name not in values}
    return row | values


def item_of(cls: type[T], row: Mapping[Any, Any], **values: Any) -> T:
    """Return the dataclass of a row: enums, tuples and times in UTC by the types of its fields; `values` replaces."""
    kind: Any = cls
    read = {name: reader(row[name]) for name, reader in _readers(kind) if name not in values and name in row}
    return cls(**read, **values)


def utc(time: datetime) -> datetime:
    """Return a time in UTC; SQLite gives back what was stored without its zone, which is UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


async def insert_if_absent(session: AsyncSession, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one has its key, and return whether it was inserted."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    stored = dialect.insert(table).values(row).on_conflict_do_nothing().returning(*inspect(table).primary_key)
    return (await session.execute(stored)).first() is not None


@cache
def _columns(cls: type, table: Table) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls) if field.name in table.columns)


@cache
def _readers(cls: type) -> tuple[tuple[str, _Reader], ...]:
    hints = get_type_hints(cls)
    return tuple((field.name, _reader(hints[field.name])) for field in fields(cls) if field.init)


def _reader(hint: Any) -> _Reader:
    kinds = [kind for kind in (get_args(hint) or (hint,)) if isinstance(kind, type)]
    if getattr(hint, "__origin__", None) is tuple:
        return tuple
    for kind in kinds:
        if issubclass(kind, Enum):
            return partial(_optional, kind)
        if issubclass(kind, datetime):
            return partial(_optional, utc)
    return _same


def _optional(reader: _Reader, value: Any) -> Any:
    return None if value is None else reader(value)


def _same(value: Any) -> Any:
    return value


def _written(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
