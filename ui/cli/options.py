"""Options that several commands share, and options in groups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from ui.cli.connection import DEFAULT_URL
from ui.cli.fields import FieldOptions

Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for the end and show the progress.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]


@dataclass(frozen=True)
class Common:
    """The options of every command that talks to a gateway."""

    as_json: JsonFlag = False
    url: Annotated[str, typer.Option("--url", envvar="DRILLYARD_URL", help="The gateway to talk to.")] = DEFAULT_URL
    api_key: Annotated[
        str,
        typer.Option(
            "--api-key", envvar="DRILLYARD_API_KEY", help="Where the gateway asks for one.", show_default=False
        ),
    ] = ""


Command = Callable[..., None]


def command(app: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Register a command whose dataclass parameters are groups of options; the function itself stays as it is."""

    def register(function: Command) -> Command:
        app.command(name)(grouped(function))
        return function

    return register


def listing(app: typer.Typer) -> Callable[[Command], Command]:
    """Register what a group of commands does when none of them is named."""

    def register(function: Command) -> Command:
        def alone(context: typer.Context, common: Common) -> None:
            if context.invoked_subcommand is None:
                function(common)

        alone.__doc__ = app.info.help
        app.callback(invoke_without_command=True)(grouped(alone))
        return function

    return register


def grouped(command: Command) -> Command:
    """Return the command with a flat signature.

    The fields of each dataclass parameter, and of the message of each `FieldOptions`, are options of their own.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    tables = {
        name: extra
        for name, kind in hints.items()
        for extra in getattr(kind, "__metadata__", ())
        if isinstance(extra, FieldOptions)
    }
    flat: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            flat += _options(groups[parameter.name])
        elif parameter.name in tables:
            flat += tables[parameter.name].parameters()
        else:
            flat.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def called(**values: Any) -> None:
        objects = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        documents = {name: table.document(values) for name, table in tables.items()}
        command(**values, **objects, **documents)

    called.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return called


def _options(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
