"""What commands print: tables for people, JSON for programs, one clear sentence for an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from services.chassis.errors import ServiceError
from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.options import Common
from ui.cli.processes import StartError

if TYPE_CHECKING:
    from drillyard import Client
    from rich.console import Console

EXIT_FAILED, EXIT_WRONG_USE, EXIT_INTERRUPTED = 1, 2, 130
_WRONG_USE = ("INVALID_ARGUMENT",)
# How long a stream may be broken off.
_AWAY_SECONDS = 60.0
_ESCAPES = {"\n": "\\n", "\t": "\\t"}


@contextmanager
def connected(common: Common) -> Iterator[Client]:
    """Yield a client of the gateway; an error ends the command with one sentence, or with JSON on stderr."""
    # Help comes sooner without it.
    from drillyard import Client

    with errors_shown(as_json=common.as_json), Client(common.url, common.api_key, retry_seconds=0) as client:
        yield client


@contextmanager
def errors_shown(*, as_json: bool) -> Iterator[None]:
    """Turn errors that a person can mend into one sentence on stderr and an exit status."""
    try:
        yield
    except (GatewayError, ServiceError) as error:
        fail(error.code, error.problem, error.next_step, as_json=as_json)
    except StartError as error:
        fail("UNAVAILABLE", str(error), "", as_json=as_json)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def fail(code: str, problem: str, next_step: str, *, as_json: bool) -> NoReturn:
    """End the command: status 2 for a wrong request, 1 for everything else."""
    if as_json:
        print(json.dumps({"code": code, "problem": problem, "next_step": next_step}), file=sys.stderr)
    else:
        print(f"{problem} {next_step}".rstrip(), file=sys.stderr)
    raise typer.Exit(EXIT_WRONG_USE if code in _WRONG_USE else EXIT_FAILED)


def show(body: Any, *, as_json: bool, table: Callable[[], None]) -> None:
    """Print `body` as JSON, or let `table` print it for a person."""
    if as_json:
        print(json.dumps(body, indent=2))
    else:
        table()


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 case" and "2 cases"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_events(gateway: Gateway, path: str) -> None:
    """Print each event of a stream as one line of JSON, as it comes."""
    for event in gateway.events(path, retry_seconds=_AWAY_SECONDS):
        print(json.dumps(event.body), flush=True)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table; text from elsewhere is printed as it is, never as markup."""
    from rich.table import Table
    from rich.text import Text

    listed = [[_plain(cell) for cell in row] for row in rows]
    if not listed:
        print(empty)
        return
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        is_number = all(row[place].rstrip(" %ptsB").lstrip("+−").replace(".", "").isdigit() for row in listed)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def print_facts(document: Document) -> None:
    """Print a document's fields, one a line."""
    rows = [(name, value) for name, value in flat(document) if value not in ("", None, [])]
    print_table("", ("field", "value"), rows, empty="Nothing is known.")


def flat(document: Document, prefix: str = "") -> list[tuple[str, object]]:
    """Return a nested document as pairs of dotted name and value."""
    pairs: list[tuple[str, object]] = []
    for name, value in document.items():
        pairs += flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return pairs


@cache
def console() -> Console:
    """Return the console of stdout; without a terminal it is as wide as its tables need."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 200)


def _plain(cell: object) -> str:
    return "".join(item if item.isprintable() else _ESCAPES.get(item, f"\\x{ord(item):02x}") for item in str(cell))
