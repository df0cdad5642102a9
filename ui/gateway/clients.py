"""The channels of the gateway to the five services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc.aio
from drillyard.evaluator.v1.evaluator_service_pb2_grpc import EvaluatorServiceStub
from drillyard.feedback.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from drillyard.feedback.v1.loop_pb2 import CreateLoopRequest
from drillyard.feedback.v1.schedule_pb2 import CreateScheduleRequest
from drillyard.notice.v1.notice_service_pb2_grpc import NoticeServiceStub
from drillyard.registry.v1.model_pb2 import DeleteModelVersionRequest
from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from drillyard.storage.v1.storage_service_pb2_grpc import StorageServiceStub
from drillyard.test_runner.v1.test_runner_service_pb2_grpc import TestRunnerServiceStub
from drillyard.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub
from drillyard.usage.v1.usage_service_pb2_grpc import UsageServiceStub

from services.chassis.channel import method_name, open_channel
from services.chassis.errors import PermissionDenied
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.tls import TlsFolder
from ui.gateway.access.caller import Caller, Scope, known_caller
from ui.gateway.access.workspaces.quotas import Quotas
from ui.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from drillyard.evaluator.v1.evaluator_service_pb2_grpc import EvaluatorServiceAsyncStub
    from drillyard.feedback.v1.feedback_service_pb2_grpc import FeedbackServiceAsyncStub
    from drillyard.notice.v1.notice_service_pb2_grpc import NoticeServiceAsyncStub
    from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub
    from drillyard.storage.v1.storage_service_pb2_grpc import StorageServiceAsyncStub
    from drillyard.test_runner.v1.test_runner_service_pb2_grpc import TestRunnerServiceAsyncStub
    from drillyard.trainer.v1.trainer_service_pb2_grpc import TrainerServiceAsyncStub

_PAGE_SIZE = 500


@dataclass(frozen=True)
class Clients:
    """One stub per service, others in `storage` and `notice`; calls raise the classes of `services.chassis.errors`."""

    registry: RegistryServiceAsyncStub
    test_runner: TestRunnerServiceAsyncStub
    evaluator: EvaluatorServiceAsyncStub
    trainer: TrainerServiceAsyncStub
    feedback: FeedbackServiceAsyncStub
    storage: Mapping[str, StorageServiceAsyncStub]
    notice: Mapping[str, NoticeServiceAsyncStub]


@asynccontextmanager
async def open_clients(settings: GatewaySettings, quotas: Quotas | None = None) -> AsyncIterator[Clients]:
    """Open a channel to each service for as long as the block lasts; connecting happens on the first call.

    What is made by these channels keeps `quotas`.
    """
    token = ServiceToken(settings.token_file) if settings.token_file else None
    tls = TlsFolder(settings.tls_dir) if settings.tls_dir else None
    guards = [CallGuard(quotas)] if settings.authentication == "on" else []
    channels = {
        name: open_channel(getattr(settings, f"{name}_address"), token=token, tls=tls, interceptors=guards)
        for name in ("registry", "test_runner", "evaluator", "trainer", "feedback")
    }
    test_runner = TestRunnerServiceStub(channels["test_runner"])
    if quotas is not None:
        quotas.services = {name: UsageServiceStub(channel) for name, channel in channels.items()}
        # Interceptors see no streams of ours.
        test_runner.Generate = quotas.admitted(test_runner.Generate)  # type: ignore[assignment]
    try:
        yield Clients(
            registry=RegistryServiceStub(channels["registry"]),
            test_runner=test_runner,
            evaluator=EvaluatorServiceStub(channels["evaluator"]),
            trainer=TrainerServiceStub(channels["trainer"]),
            feedback=FeedbackServiceStub(channels["feedback"]),
            storage={name: StorageServiceStub(channel) for name, channel in channels.items()},
            notice={name: NoticeServiceStub(channel) for name, channel in channels.items()},
        )
    finally:
        await asyncio.gather(*(channel.close() for channel in channels.values()))


async def every(call: Callable[[Any], Awaitable[Any]], request: Any, field: str, limit: int = 10_000) -> list[Any]:
    """Return the entries of all pages of a List RPC, at most `limit` of them.

    Args:
        call: The RPC.
        request: Its request; `page_size` and `page_token` are set here.
        field: The repeated field of the response.
        limit: Bound on the entries that are read.
    """
    result: list[Any] = []
    request.page_size = min(_PAGE_SIZE, limit)
    while True:
        response = await call(request)
        result += getattr(response, field)
        if not response.next_page_token or len(result) >= limit:
            return result[:limit]
        request.page_token = response.next_page_token


class CallGuard(grpc.aio.UnaryUnaryClientInterceptor):
    """Stands between a gateway that asks for a login and its services, where routes and pages come together."""

    def __init__(self, quotas: Quotas | None) -> None:
        self._quotas = quotas

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Pass a call on.

        Raises:
            FailedPrecondition, Unavailable: The quotas of the caller's workspace are not known now.
            PermissionDenied: It does more than the rule of its route or page event asks for, and the caller may not.
        """
        caller = known_caller.get()
        # On the page of models one event opens a version and deletes it.
        if isinstance(request, DeleteModelVersionRequest):
            _refuse_without(caller, Scope.TRAIN, "Deleting a version", "Ask the gateway's admin.")
        if alias := alias_of(request):
            next_step = "Leave the alias of the candidate empty, or ask the gateway's admin."
            _refuse_without(caller, Scope.PUBLISH, f"Moving the alias {alias[:64]!r}", next_step)
        if self._quotas is None:
            return await continuation(client_call_details, request)
        async with self._quotas.told(method_name(client_call_details)):
            return await continuation(client_call_details, request)


def _refuse_without(caller: Caller, scope: Scope, act: str, next_step: str) -> None:
    if not caller.may(frozenset({scope})):
        raise PermissionDenied(f"{act} asks for the scope {scope}, which {caller.name} does not have.", next_step)


def alias_of(request: Any) -> str:
    """Return the alias that what a request creates will move; empty: none."""
    if isinstance(request, CreateLoopRequest):
        return request.spec.candidate_alias
    return request.spec.loop.candidate_alias if isinstance(request, CreateScheduleRequest) else ""
