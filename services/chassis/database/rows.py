"""Dataclasses as rows of tables, and back: a field and a column of the same name are the same thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import Table, inspect
from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")

_Converter = Callable[[Any], Any]
_Converters = tuple[tuple[str, _Converter], ...]


def row_of(item: Any, table: Table, **values: Any) -> dict[str, Any]:
    """Return the row of a dataclass: its fields that have a column, an enum by its value; `values` replaces and adds.

    The tuple of a field becomes a list, so that what is inserted equals what is read.
    """
    kind: Any = type(item)
    names, getter, writers = _writing(kind, table)
    row = dict(zip(names, getter(item), strict=True))
    for name, writer in writers:
        if name not in values and row[name] is not None:
            row[name] = writer(row[name])
    row.update(values)
    return row


def item_of(cls: type[T], row: Mapping[Any, Any], **values: Any) -> T:
    """Return the dataclass of a row: enums, tuples and times in UTC by the types of its fields.

    Each field without a column of its name is in `values`, which goes before the row.
    """
    kind: Any = cls
    names, readers = _reading(kind, tuple(values))
    for name in names:
        values[name] = row[name]
    for name, reader in readers:
        if values[name] is not None:
            values[name] = reader(values[name])
    return cls(**values)


def utc(time: datetime) -> datetime:
    """Return a time in UTC; SQLite gives back what was stored without its zone, which is UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


async def insert_if_absent(session: AsyncSession, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one has its key, and return whether it was inserted."""
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    stored = dialect.insert(table).values(row).on_conflict_do_nothing().returning(*inspect(table).primary_key)
    return (await session.execute(stored)).first() is not None


@cache
def _writing(cls: type, table: Table) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], _Converters]:
    names = tuple(field.name for field in fields(cls) if field.name in table.columns)
    hints = get_type_hints(cls)
    writers = ((name, _converter(hints[name], _value_of, list)) for name in names)
    # Of one name alone `attrgetter` returns no tuple.
    getter = attrgetter(*names) if len(names) > 1 else lambda item: tuple(getattr(item, name) for name in names)
    return names, getter, tuple((name, writer) for name, writer in writers if writer)


@cache
def _reading(cls: type, left_out: tuple[str, ...]) -> tuple[tuple[str, ...], _Converters]:
    names = tuple(field.name for field in fields(cls) if field.init and field.name not in left_out)
    hints = get_type_hints(cls)
    readers = ((name, _converter(hints[name], None, tuple)) for name in names)
    return names, tuple((name, reader) for name, reader in readers if reader)


def _converter(hint: Any, of_enum: _Converter | None, of_tuple: _Converter) -> _Converter | None:
    """Return what converts values of a type; `of_enum` None makes enums and times of what a database gives back."""
    if get_origin(hint) is tuple:
        return of_tuple
    for kind in get_args(hint) or (hint,):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return of_enum or kind
        if kind is datetime and of_enum is None:
            return utc
    return None


def _value_of(member: Enum) -> Any:
    return member.value
