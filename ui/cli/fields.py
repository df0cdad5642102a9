"""Options made from the fields of a message: name, default and help of a field stand in its contract alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, cast

import typer
from google.protobuf.message import Message

from services.chassis.wire import Field, fields_of
from ui.cli.connection import Document

_TYPES: dict[str, Any] = {"int": int | None, "float": float | None, "bool": bool, "text": str | None}


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
        return [_parameter(item, self.names.get(item.path) or _option_name(item)) for item in self._fields()]

    def document(self, values: dict[str, Any]) -> Document:
        """Take the values of its own parameters out of `values`, and return those that were set."""
        body: Document = {}
        for item in self._fields():
            value = values.pop(_key(item))
            if value in (None, [], False):
                continue
            *owners, name = item.path.split(".")
            inner = body
            for owner in owners:
                inner = inner.setdefault(owner, {})
            inner[name] = item.words[value] if item.kind == "enum" else value
        return body

    def _fields(self) -> list[Field]:
        return [
            item
            for item in fields_of(self.message)
            if item.kind != "message" and not any(f"{item.path}.".startswith(f"{path}.") for path in self.left_out)
        ]


def _key(item: Field) -> str:
    return f"field_{item.path.replace('.', '_')}"


def _option_name(item: Field) -> str:
    return item.name.removeprefix("num_").removesuffix("_seconds").replace("_", "-")


def _parameter(item: Field, name: str) -> inspect.Parameter:
    kind: Any = list[str] | None if item.is_repeated else _TYPES.get(item.kind)
    if item.kind == "enum":
        # typer takes the choices of an option from an enumeration alone.
        kind = cast("Any", StrEnum(item.name, [(word, word) for word in item.words])) | None
    # An unset field means the default, so nought cannot be sent where it is out of bounds.
    number = {"int": int, "float": float}.get(item.kind)
    limits = {"min": item.minimum, "max": item.maximum} if number else {}
    more: Any = {name: number(limit) for name, limit in limits.items() if number and limit is not None}
    if "." in item.path:
        more["rich_help_panel"] = f"Options of {item.path.partition('.')[0]}"
    option: Any = typer.Option(f"--{name}", help=_help(item), show_default=False, **more)
    default = False if item.kind == "bool" else None
    annotation = Annotated[kind, option]
    return inspect.Parameter(_key(item), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _help(item: Field) -> str:
    default = next((word for word, name in item.words.items() if name == item.default), item.default)
    facts = {
        f"In {item.unit}.": item.unit and item.unit not in item.help,
        "Repeatable.": item.is_repeated,
        f"Default: {default:g}." if isinstance(default, float) else f"Default: {default}.": default,
    }
    return " ".join([item.help, *(fact for fact, is_told in facts.items() if is_told)])
