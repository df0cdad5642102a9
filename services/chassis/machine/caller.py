"""For whom a call is made: caller and workspace, told from service to service and signed by their token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, unquote

from services.chassis.errors import QuotaExceeded
from services.chassis.machine.parent import ServiceToken

DEFAULT_WORKSPACE = "default"

current_caller: ContextVar[str] = ContextVar("current_caller", default="")
"""Name of the caller, such as `key:ci`, or `job:ID` in the work of a job; empty where nobody is asked for a login."""

current_workspace: ContextVar[str] = ContextVar("current_workspace", default=DEFAULT_WORKSPACE)
"""The workspace to which belongs what the call makes."""

used_up: ContextVar[str] = ContextVar("used_up", default="")
"""Which quota of the workspace leaves no room for what the call would make new, as the gateway says; empty: none.

A line says what is used and what is allowed, and the next one what to do."""

_TOLD = {"caller": current_caller, "workspace": current_workspace, "used-up": used_up}
_UNTOLD = {"caller": "", "workspace": DEFAULT_WORKSPACE, "used-up": ""}
_PREFIX = "x-drillyard-"


def caller_metadata(token: ServiceToken) -> list[tuple[str, str]]:
    """Return what tells the next service for whom a call is made; nothing of what is as it is without a login."""
    told = {name: quote(value) for name, variable in _TOLD.items() if (value := variable.get()) != _UNTOLD[name]}
    return [(_PREFIX + name, f"{text} {token.key_of(f'{name} {text}')}") for name, text in told.items()]


def told_in(metadata: Iterable[tuple[str, str | bytes]], token: ServiceToken | None) -> Mapping[str, str]:
    """Return what a call's metadata tells, as `serve_for` takes it; nothing without this installation's signature."""
    told = dict(_UNTOLD)
    for key, value in metadata:
        name, (text, _, signature) = key.removeprefix(_PREFIX), str(value).partition(" ")
        if token is not None and name in told and text and token.is_key_of(f"{name} {text}", signature):
            told[name] = unquote(text)
    return told


def serve_for(told: Mapping[str, str]) -> None:
    """Work for whom a call is made, until the end of this task."""
    for name, variable in _TOLD.items():
        variable.set(told[name])


@contextmanager
def in_workspace(workspace_id: str) -> Iterator[None]:
    """Make what the block makes belong to a workspace."""
    token = current_workspace.set(workspace_id)
    try:
        yield
    finally:
        current_workspace.reset(token)


def refuse_beyond_quota() -> None:
    """Return when what is new may be made in the workspace.

    It is asked where a repeated request is already told apart, so that one is answered as before.

    Raises:
        QuotaExceeded: A quota is used up.
    """
    problem, _, next_step = used_up.get().partition("\n")
    if problem:
        raise QuotaExceeded(problem, next_step)
