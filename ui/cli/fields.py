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
        return [_parameter(one, self.names.get(one.path) or _option_name(one)) for one in self._fields()]

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
            inner[name] = _words(one)[value] if one.kind == "enum" else value
        return body

    def _fields(self) -> list[Field]:
        return [
            one
            for one in fields_of(self.message)
            if one.kind != "message" and not any(f"{one.path}.".startswith(f"{path}.") for path in self.left_out)
        ]


def _key(one: Field) -> str:
    return f"field_{one.path.replace('.', '_')}"


def _option_name(one: Field) -> str:
    return one.name.removeprefix("num_").removesuffix("_seconds").replace("_", "-")


def _parameter(one: Field, name: str) -> inspect.Parameter:
    kind: Any = list[str] | None if one.is_repeated else _TYPES.get(one.kind)
    if one.kind == "enum":
        # typer takes the choices of an option from an enumeration alone.
        kind = cast("Any", StrEnum(one.name, [(word, word) for word in _words(one)])) | None
    # An unset field means the default, so nought cannot be sent where it is out of bounds.
    bounds = {"min": one.minimum, "max": one.maximum} if one.kind in ("int", "float") else {}
    option: Any = typer.Option(f"--{name}", help=_help(one), show_default=False, **cast("Any", bounds))
    default = False if one.kind == "bool" else None
    annotation = Annotated[kind, option]
    return inspect.Parameter(_key(one), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _words(one: Field) -> dict[str, str]:
    """Return the names of an enum's values by their ends, such as "native" for "TOOL_MODE_NATIVE"."""
    prefix = f"{one.name.upper()}_"
    return {value.rpartition(prefix)[2].lower(): value for value, _ in one.choices}


def _help(one: Field) -> str:
    default = next((word for word, name in _words(one).items() if name == one.default), one.default)
    facts = {
        f"In {one.unit}.": one.unit and one.unit not in one.help,
        "Repeatable.": one.is_repeated,
        f"Default: {default:g}." if isinstance(default, float) else f"Default: {default}.": default,
    }
    return " ".join([one.help, *(fact for fact, is_told in facts.items() if is_told)])
