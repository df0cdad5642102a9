"""Who a call is made for: the person or key at the gateway, told from service to service and signed by their token."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from urllib.parse import quote, unquote

from services.chassis.machine.parent import ServiceToken

current_caller: ContextVar[str] = ContextVar("current_caller", default="")
"""Name of the caller, such as `key:ci`; empty where nobody is asked for a login, and in work that goes on by itself."""

_CALLER_KEY = "x-drillyard-caller"


def caller_metadata(token: ServiceToken) -> list[tuple[str, str]]:
    """Return what tells the next service who the caller is; nothing where there is none."""
    name = quote(current_caller.get())
    return [(_CALLER_KEY, f"{name} {token.key_of(f'caller {name}')}")] if name else []


def caller_in(metadata: Iterable[tuple[str, str | bytes]], token: ServiceToken | None) -> str:
    """Return who a call is made for; empty: it does not say, or without the signature of this installation."""
    text = next((str(value) for key, value in metadata if key == _CALLER_KEY), "")
    name, _, signature = text.partition(" ")
    is_signed = token is not None and name and token.is_key_of(f"caller {name}", signature)
    return unquote(name) if is_signed else ""
