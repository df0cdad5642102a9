"""Every RPC of every service against drawn requests: no answer may be INTERNAL or UNKNOWN, and none tells of code."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
from drillyard.evaluator.v1 import evaluator_service_pb2
from drillyard.feedback.v1 import feedback_service_pb2
from drillyard.registry.v1 import registry_service_pb2
from drillyard.test_runner.v1 import test_runner_service_pb2
from drillyard.trainer.v1 import trainer_service_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from tests.fuzz.edges import kept_inputs
from tests.fuzz.messages import fill
from tests.fuzz.tally import Tally
from tests.fuzz.values import flipped
from tests.integration.system_process import SystemProcess

SERVICES: dict[str, ServiceDescriptor] = {
    name: module.DESCRIPTOR.services_by_name[f"{name.title().replace('_', '')}Service"]
    for name, module in (
        ("registry", registry_service_pb2),
        ("test_runner", test_runner_service_pb2),
        ("evaluator", evaluator_service_pb2),
        ("trainer", trainer_service_pb2),
        ("feedback", feedback_service_pb2),
    )
}
_FORBIDDEN_CODES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
# What the client says instead of the refusal that it received while it was writing (findings/grpc-aio-loses-*).
_LOST, _WRITE_FAILED = "Internal error from Core", 'Failed "execute_batch": (<grpc._cython.cygrpc.SendMessageOperation'
_CODE_TRACES = ("Traceback", "site-packages", '.py"', "object at 0x", "sqlalchemy")
_CALLS_AT_ONCE = 8
_CALL_SECONDS = 20.0
_MOST_ANSWERS = 3
_FLIPPED_SHARE = 0.1

Call = tuple[MethodDescriptor, list[bytes]]


async def fuzz_rpcs(system: SystemProcess, num_inputs: int, seed: int, tally: Tally) -> None:
    """Send so many requests to each service, all services at the same time.

    Args:
        system: The services that are asked.
        num_inputs: Requests to each service, spread evenly over its methods.
        seed: Decides what is drawn.
        tally: Counts the code of each answer by service, and is told of each that may not be.
    """
    known = (*system.names.values(), "roo_xml/core@1", "smollm2-135m-instruct@1", system.live_training_job_id)
    async with asyncio.TaskGroup() as group:
        for name, service in SERVICES.items():
            tally.aim(name, num_inputs)
            calls = _calls(service, num_inputs, random.Random(f"{seed}/{name}"), known)
            group.create_task(_fuzz_service(name, system.addresses[f"{name}_address"], calls, tally))


async def _fuzz_service(name: str, address: str, calls: Iterator[Call], tally: Tally) -> None:
    async def ask() -> None:
        for method, messages in calls:
            tally.outcomes[name][await _code(channel, method, messages, tally)] += 1

    async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as group:
        for _ in range(_CALLS_AT_ONCE):
            group.create_task(ask())


def _calls(service: ServiceDescriptor, count: int, chance: random.Random, known: Sequence[str]) -> Iterator[Call]:
    kept = [(method, [content]) for method in service.methods for content in kept_inputs(f"rpc/{method.name}")]
    yield from kept[:count]
    for number in range(count - len(kept)):
        method = service.methods[number % len(service.methods)]
        messages = []
        for _ in range(chance.randrange(1, 4) if method.client_streaming else 1):
            message = GetMessageClass(method.input_type)()
            fill(chance, message, known)
            content = message.SerializeToString()
            messages.append(flipped(chance, content) if chance.random() < _FLIPPED_SHARE else content)
        yield method, messages


async def _code(channel: grpc.aio.Channel, method: MethodDescriptor, messages: list[bytes], tally: Tally) -> str:
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        await _answers(channel, path, method, messages)
    except grpc.aio.AioRpcError as error:
        details = error.details() or ""
        if details == _LOST and (error.debug_error_string() or "").startswith(_WRITE_FAILED):
            return "status lost"
        if error.code() in _FORBIDDEN_CODES or any(trace in details for trace in _CODE_TRACES):
            tally.add_fault(f"rpc/{method.name}", f"{error.code().name}: {details[:300]}", b"".join(messages))
        return error.code().name
    return "OK"


async def _answers(channel: Any, path: str, method: MethodDescriptor, messages: list[bytes]) -> None:
    if method.client_streaming:
        call: Any = channel.stream_stream(path)(messages, timeout=_CALL_SECONDS)
    elif method.server_streaming:
        call = channel.unary_stream(path)(messages[0], timeout=_CALL_SECONDS)
    else:
        await channel.unary_unary(path)(messages[0], timeout=_CALL_SECONDS)
        return
    # What does not end by itself is left after a few answers.
    for _ in range(_MOST_ANSWERS):
        if await call.read() is grpc.aio.EOF:
            return
    call.cancel()
