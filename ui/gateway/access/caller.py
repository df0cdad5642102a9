"""Who calls, and what they may do."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from services.chassis.machine.caller import DEFAULT_WORKSPACE, current_caller, current_workspace

CALL_KEY = "drillyard.call"
"""Under this key the door leaves a `Call` in the scope of a request."""


class Scope(StrEnum):
    """What a key or a role allows; `ADMIN` allows everything."""

    READ = "read"
    TEST = "test"
    TRAIN = "train"
    FEEDBACK = "feedback"
    PUBLISH = "publish"
    ADMIN = "admin"


EVERY_SCOPE = frozenset(Scope)
ROLES: dict[str, frozenset[Scope]] = {
    "viewer": frozenset({Scope.READ}),
    "reviewer": frozenset({Scope.READ, Scope.FEEDBACK}),
    "trainer": frozenset({Scope.READ, Scope.TEST, Scope.TRAIN, Scope.FEEDBACK}),
    "publisher": EVERY_SCOPE - {Scope.ADMIN},
    "admin": EVERY_SCOPE,
}


@dataclass(frozen=True)
class Caller:
    """Somebody whom the gateway knows.

    Attributes:
        name: Kind and id, such as `key:ci` or `user:ann`.
        scopes: What they may do.
        workspace_id: To which belongs what they make.
    """

    name: str
    scopes: frozenset[Scope]
    workspace_id: str = DEFAULT_WORKSPACE

    def may(self, allowed: frozenset[Scope]) -> bool:
        """Return whether they have one of the scopes that a rule names."""
        return Scope.ADMIN in self.scopes or bool(self.scopes & allowed)


NOBODY = Caller("", frozenset())
known_caller: ContextVar[Caller] = ContextVar("known_caller", default=NOBODY)
"""For whom the gateway asks its services; `NOBODY`, who may do nothing, where it asks them by itself."""


def ask_for(caller: Caller) -> None:
    """Ask the services for a caller, in their workspace, until the end of this task."""
    known_caller.set(caller)
    current_caller.set(caller.name)
    current_workspace.set(caller.workspace_id)


def printable(text: str) -> str:
    """Return a text in which what moves a terminal, or no database takes, is written as in an address."""
    return "".join(part if part.isprintable() else quote(part, errors="replace") for part in text)


@dataclass
class Call:
    """A request that the door let in.

    Attributes:
        caller: Who sends it.
        action: What the audit log tells of it; empty: nothing.
    """

    caller: Caller
    action: str
