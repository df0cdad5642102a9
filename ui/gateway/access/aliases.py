"""Who may have an alias moved by what they create: a loop gives it to its best version without asking again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
from drillyard.feedback.v1.loop_pb2 import CreateLoopRequest
from drillyard.feedback.v1.schedule_pb2 import CreateScheduleRequest

from services.chassis.errors import PermissionDenied
from ui.gateway.access.caller import Scope, known_caller

_PUBLISHERS = frozenset({Scope.PUBLISH})


class AliasGuard(grpc.aio.UnaryUnaryClientInterceptor):
    """Stands between a gateway that asks for a login and its services, where routes and pages come together."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Pass a call on.

        Raises:
            PermissionDenied: It creates what moves an alias, and the caller may not publish.
        """
        alias, caller = alias_of(request), known_caller.get()
        if alias and not caller.may(_PUBLISHERS):
            raise PermissionDenied(
                f"To move the alias {alias[:64]!r} asks for the scope publish, which {caller.name} does not have.",
                "Leave the alias of the candidate empty, or ask the gateway's admin.",
            )
        return await continuation(client_call_details, request)


def alias_of(request: Any) -> str:
    """Return the alias that what a request creates will move; empty: none."""
    if isinstance(request, CreateLoopRequest):
        return request.spec.candidate_alias
    return request.spec.loop.candidate_alias if isinstance(request, CreateScheduleRequest) else ""
