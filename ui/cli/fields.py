"""Options made from the fields of a message, so that each field's name, default and help stand in its contract alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import click
import typer
from google.protobuf.message import Message

from services.chassis.wire import Field, fields_of
from ui.cli.connection import Document

_TYPES: dict[str, Any] = {
    "int": int | None,
    "float": float | None,
    "bool": bool,
    "text": str | None,
    "enum": str | None,
}


@dataclass(frozen=True)
class FieldOptions:
    """Stands at a parameter of a command that gets what was set, in the JSON form of the message.

    Args:
        message: Whose fields, and those of the messages in it, become options.
        left_out: Paths that are set in another way; a path stands for all below it.
        names: Options that are called otherwise than the last name of their field's path.
    """

    message: type[Message]
    left_out: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> list[inspect.Parameter]:
        """Return the options as parameters of a function."""
        return [_parameter(one, self._name(one)) for one in self._fields()]

    def document(self, values: dict[str, Any]) -> Document:
        """Take the values of its own parameters out of `values`, and return those that were set."""
        body: Document = {}
        for one in self._fields():
            value = values.pop(_key(one))
            if value in (None, [], False):
                continue
            *owners, name = one.path.split(".")
            inner = body
            for owner in owners:
                inner = inner.setdefault(owner, {})
            inner[name] = dict(_choices(one))[value] if one.kind == "enum" else value
        return body

    def _fields(self) -> list[Field]:
        return [
            one
            for one in fields_of(self.message)
            if one.kind != "message" and not any(f"{one.path}.".startswith(f"{path}.") for path in self.left_out)
        ]

    def _name(self, one: Field) -> str:
        return self.names.get(one.path) or one.name.removeprefix("num_").removesuffix("_seconds").replace("_", "-")


def _key(one: Field) -> str:
    return f"field_{one.path.replace('.', '_')}"


def _parameter(one: Field, name: str) -> inspect.Parameter:
    kind: Any = list[str] | None if one.is_repeated else _TYPES[one.kind]
    choices = click.Choice([word for word, _ in _choices(one)]) if one.kind == "enum" else None
    option = typer.Option(f"--{name}", help=_help(one), show_default=False, click_type=choices)
    default = False if one.kind == "bool" else None
    return inspect.Parameter(
        _key(one), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _choices(one: Field) -> list[tuple[str, str]]:
    """Return the words for an enum's values, which are the ends of their names, with the names."""
    prefix = f"{one.name.upper()}_"
    return [(value.rpartition(prefix)[2].lower(), value) for value, _ in one.choices]


def _help(one: Field) -> str:
    unit = f" In {one.unit}." if one.unit and one.unit not in one.help else ""
    default = dict((name, word) for word, name in _choices(one)).get(one.default, one.default)
    told = f" Default: {default:g}." if isinstance(default, float) else f" Default: {default}."
    repeats = " Repeatable." if one.is_repeated else ""
    return one.help + unit + repeats + (told if default else "")
