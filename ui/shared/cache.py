"""What every page works with: the clients, a short cache of what they answered, and errors shown as notices."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import FastAPI

from services.chassis.errors import ServiceError
from ui.gateway.access.caller import CALL_KEY, NOBODY, Call, Caller, ask_for
from ui.gateway.clients import Clients
from ui.shared.environment import render

T = TypeVar("T")
FRESH_SECONDS = 1.0
# Of all open pages together: a question takes the page framework 20 ms, whatever is asked.
_MOST_QUESTIONS_PER_SECOND = 25
_FORGET_SECONDS = 15.0
_MOST_KEPT = 500
# Elements that are named otherwise than their field on the wire.
_ELEMENTS = {
    "model_version_id": "model",
    "test_suite_version_id": "suite",
    "case_id": "case",
    "profile_id": "profile",
    "artifact": "file",
    "model_id": "name",
    "base_model_version_id": "base",
    "destinations": "destination",
}


@dataclass
class _Entry:
    task: asyncio.Task[Any]
    start: float


class OpenPages:
    """How often each open page may ask for what it shows: the more are open, the more seldom."""

    def __init__(self) -> None:
        self._intervals: dict[str, tuple[float, float]] = {}
        self._look_time = 0.0

    def interval(self, page: str, seconds: float, current: float, now: float | None = None) -> float | None:
        """Note that a page asks, and return how long it waits between questions from now on; None: as before.

        Args:
            page: Names it.
            seconds: How long it waits where few are open.
            current: How long it waits now, as the page itself says: one that was hidden for long is forgotten here.
            now: Of the clock that only goes on.
        """
        now = time.monotonic() if now is None else now
        if now - self._look_time > _FORGET_SECONDS:
            # What is closed, or hidden behind another tab, asks no more.
            kept = self._intervals.items()
            self._intervals = {name: one for name, one in kept if now - one[0] < one[1] + _FORGET_SECONDS}
            self._look_time = now
        num_pages = len(self._intervals) + (page not in self._intervals)
        interval = seconds * math.ceil(num_pages / (seconds * _MOST_QUESTIONS_PER_SECOND))
        self._intervals[page] = now, interval
        return interval if interval != current else None


@dataclass
class ServiceCache:
    """One per application. All open pages share what it has read, so that a page more costs the services nothing."""

    app: FastAPI
    open_pages: OpenPages = field(default_factory=OpenPages)
    _entries: dict[tuple[Any, ...], _Entry] = field(default_factory=dict)

    @property
    def clients(self) -> Clients:
        """The stubs that the application opened at its start; services are told who triggered the event."""
        ask_for(_caller_of_event())
        clients: Clients = self.app.state.clients
        return clients

    async def read(self, action: Callable[..., Awaitable[T]], *arguments: Any, **named: Any) -> T:
        """Return what an action reads; the same question within a second gets the same answer."""
        key = (action, *arguments, *named.values())
        now = time.monotonic()
        entry = self._entries.get(key)
        if entry is None or now - entry.start > FRESH_SECONDS:
            self._forget(now)
            entry = _Entry(asyncio.ensure_future(_run(action, self.clients, arguments, named)), now)
            self._entries[key] = entry
        # A page that is closed must not end the reading that another one waits for.
        result: T = await asyncio.shield(entry.task)
        return result

    def forget(self) -> None:
        """Read everything anew from now on, since something was changed."""
        self._entries.clear()

    def _forget(self, now: float) -> None:
        if len(self._entries) > _MOST_KEPT:
            old = [key for key, entry in self._entries.items() if now - entry.start > FRESH_SECONDS]
            for key in old:
                del self._entries[key]


async def html_or_notice(html: Awaitable[str], form: str = "") -> str:
    """Return the HTML, or a notice with the problem and what to do next."""
    try:
        return await html
    except ServiceError as error:
        return notice(error, form)


def notice(error: ServiceError, form: str = "") -> str:
    """Return an error as a notice; with a form's name, its sentences are repeated beside the field that is wrong."""
    field = error.fields.get("field", "")
    blames = field_id(form, field) if form else ""
    problem = error.problem
    sentence = problem.removeprefix("The field ")
    if blames and sentence.startswith(field):
        # The wire's name of the field says less to a person than the label beside which the sentence stands.
        problem = f"{field.rpartition('.')[2].replace('_', ' ').capitalize()}{sentence.removeprefix(field)}"
    return render("shared/notice", tone="bad", problem=problem, next_step=error.next_step, blames=blames)


def field_id(form: str, field: str) -> str:
    """Return the id of the form's element for a field of the wire, such as `test-top-k` for `spec.sampling.top_k`."""
    plain = re.sub(
        r"^spec\.|sampling\.|conversion\.|provenance\.|\[\d+\].*$|(?<=^source)\..*$|(?<=destination)\.(?!secret$).*$",
        "",
        field,
    )
    named = _ELEMENTS.get(plain, plain)
    return f"{form}-{re.sub(r'[._]', '-', named)}" if named else ""


def done_notice(problem: str, next_step: str = "", tone: str = "good") -> str:
    """Return a notice that something was done."""
    return render("shared/notice", tone=tone, problem=problem, next_step=next_step, blames="")


def request_of_event() -> Any:
    """Return the request that triggered the page's event, if any; events run in tasks of the page framework's own."""
    from gradio.context import LocalContext

    return LocalContext.request.get(None)


def _caller_of_event() -> Caller:
    request = request_of_event()
    call: Call | None = request.request.scope.get(CALL_KEY) if request else None
    return call.caller if call else NOBODY


async def _run(action: Callable[..., Awaitable[T]], clients: Clients, arguments: Any, named: Any) -> T:
    return await action(clients, *arguments, **named)
