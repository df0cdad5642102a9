"""Options that several commands share, and options in groups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from ui.cli.connection import DEFAULT_URL

Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for the end and show the progress.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]


@dataclass(frozen=True)
class Common:
    """The options of every command that talks to a gateway."""

    as_json: JsonFlag = False
    url: Annotated[str, typer.Option("--url", envvar="DRILLYARD_URL", help="The gateway to talk to.")] = DEFAULT_URL


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
    """Return the command with a flat signature: the fields of each dataclass parameter are options of their own."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    flat: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        if one.name in groups:
            flat += _options(groups[one.name])
        else:
            flat.append(one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def called(**given: Any) -> None:
        made = {name: kind(**{one.name: given.pop(one.name) for one in fields(kind)}) for name, kind in groups.items()}
        command(**given, **made)

    called.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in flat}
    return called


def _options(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=_default(one), annotation=hints[one.name])
        for one in fields(kind)
    ]


def _default(one: Field[Any]) -> Any:
    return inspect.Parameter.empty if one.default is MISSING else one.default
