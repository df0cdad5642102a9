"""Every RPC of every service against drawn requests: no answer may be INTERNAL or UNKNOWN, and none tells of code."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from drillyard.evaluator.v1 import evaluator_service_pb2
from drillyard.feedback.v1 import feedback_service_pb2
from drillyard.registry.v1 import registry_service_pb2
from drillyard.test_runner.v1 import test_runner_service_pb2
from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2, trainer_service_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fuzz.messages import fill
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
# What once met an error of the program, by method: bytes that are no message, and a time before all time.
KEPT: dict[str, bytes] = {
    "GetModel": b"\x0a\xff",
    "GetTestRun": b"\x0a\x02\xc3\x28",
    "JudgeStream": b"\x0a\xff",
    "WatchLoop": b"\x0a\xff",
    "ReportAttempt": attempt_pb2.ReportAttemptRequest(
        training_job_id="x", checkpoints=[checkpoint_pb2.Checkpoint(create_time=Timestamp(nanos=-1))]
    ).SerializeToString(),
}
_FORBIDDEN_CODES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
_CODE_TRACES = ("Traceback", "site-packages", '.py"', "object at 0x", "sqlalchemy")
_CALLS_AT_ONCE = 8
_CALL_SECONDS = 20.0
_MOST_ANSWERS = 3
_FLIPPED_SHARE = 0.1

Report = Callable[[str, bytes], None]


def fuzz_rpcs(system: SystemProcess, num_inputs: int, seed: int, report: Report) -> Counter[str]:
    """Send so many requests to each service, and return how many answers had which code.

    Args:
        system: The services that are asked.
        num_inputs: Requests to each service, spread evenly over its methods.
        seed: Decides what is drawn.
        report: Is told of each answer that may not be, with the request's bytes.
    """
    codes: Counter[str] = Counter()
    known = (*system.names.values(), "roo_xml/core@1", "smollm2-135m-instruct@1", system.live_training_job_id)
    for name, service in SERVICES.items():
        with grpc.insecure_channel(system.addresses[f"{name}_address"]) as channel:
            requests = _requests(service, num_inputs, random.Random(f"{seed}/{name}"), known)
            with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
                for code in pool.map(lambda item: _code(channel, *item, report), requests):
                    codes[code] += 1
    return codes


def _requests(
    service: ServiceDescriptor, count: int, chance: random.Random, known: Sequence[str]
) -> Iterator[tuple[MethodDescriptor, list[bytes]]]:
    yield from ((method, [KEPT[method.name]]) for method in service.methods if method.name in KEPT)
    for number in range(count):
        method = service.methods[number % len(service.methods)]
        messages = []
        for _ in range(chance.randrange(1, 4) if method.client_streaming else 1):
            message = GetMessageClass(method.input_type)()
            fill(chance, message, known)
            content = message.SerializeToString()
            messages.append(flipped(chance, content) if chance.random() < _FLIPPED_SHARE else content)
        yield method, messages


def _code(channel: grpc.Channel, method: MethodDescriptor, messages: list[bytes], report: Report) -> str:
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        _answers(channel, path, method, messages)
    except grpc.RpcError as error:
        call: Any = error
        details = str(call.details())
        if call.code() in _FORBIDDEN_CODES or any(trace in details for trace in _CODE_TRACES):
            report(f"{path}: {call.code().name}: {details[:300]}", b"".join(messages))
        return str(call.code().name)
    return "OK"


def _answers(channel: grpc.Channel, path: str, method: MethodDescriptor, messages: list[bytes]) -> None:
    if method.client_streaming:
        responses: Any = channel.stream_stream(path)(iter(messages), timeout=_CALL_SECONDS)
    elif method.server_streaming:
        responses = channel.unary_stream(path)(messages[0], timeout=_CALL_SECONDS)
    else:
        channel.unary_unary(path)(messages[0], timeout=_CALL_SECONDS)
        return
    # What does not end by itself is left after a few answers.
    for place, _ in enumerate(responses):
        if place >= _MOST_ANSWERS:
            responses.cancel()
            return
