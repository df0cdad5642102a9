"""Errors to statuses and back, and the refusal of calls beyond the limit."""

import asyncio
import base64
import errno
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio
import pytest

from services.chassis.calls import CallLimit
from services.chassis.channel import open_channel
from services.chassis.errors import (
    ERROR_CLASSES,
    Busy,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServiceError,
)
from services.chassis.server import Server
from services.chassis.status import STATUS_OF, from_exception, from_rpc_error, to_status
from services.chassis.telemetry import Telemetry
from tests.unit.chassis.rpc_test import SERVICE, Echo, Loopback, add_echo, until


def over_the_wire(error: ServiceError) -> ServiceError:
    status = to_status(error)
    metadata = grpc.aio.Metadata(*status.trailing_metadata)
    return from_rpc_error(grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), metadata, status.message))


@pytest.mark.parametrize("cls", ERROR_CLASSES)
def test_every_class_survives_the_wire_with_both_sentences(cls: type[ServiceError]) -> None:
    back = over_the_wire(cls("The suite ‘kern’ is unknown.", "List the suites.", field="suite_id"))
    assert type(back) is cls
    assert (back.problem, back.next_step) == ("The suite ‘kern’ is unknown.", "List the suites.")
    assert back.fields == {"field": "suite_id"}
    assert str(back) == "The suite ‘kern’ is unknown. List the suites."


def test_each_class_has_a_status_of_its_own() -> None:
    assert len(set(STATUS_OF.values())) == len(STATUS_OF) == len(ERROR_CLASSES)


def test_a_subclass_travels_as_the_class_of_its_code() -> None:
    class ModelNotFound(NotFound):
        pass

    assert type(over_the_wire(ModelNotFound("No such model."))) is NotFound


def test_long_texts_are_cut_to_what_metadata_holds() -> None:
    status = to_status(InvalidArgument("ü" * 100_000, "ü" * 100_000, field="x" * 100_000))
    encoded = len(quote(status.message)) + len(base64.b64encode(status.trailing_metadata[0][1]))
    assert encoded < 7000
    assert status.message.endswith("…")


def test_text_that_is_no_unicode_is_no_second_error() -> None:
    assert "model" in over_the_wire(NotFound("There is no model '\udcff'.")).problem


def test_a_status_without_our_details_keeps_the_peers_words() -> None:
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "connection refused"
    )
    back = from_rpc_error(error)
    assert back.code == "UNAVAILABLE"
    assert back.problem == "connection refused."
    assert "address" in back.next_step


def test_damaged_details_are_no_second_error() -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff"))
    back = from_rpc_error(grpc.aio.AioRpcError(grpc.StatusCode.DATA_LOSS, grpc.aio.Metadata(), metadata, "gone"))
    assert (type(back), back.problem) == (Internal, "gone.")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_exhausted_resource_that_names_the_folder(number: int) -> None:
    known = from_exception(OSError(number, "full", "/data/registry/x"))
    assert isinstance(known, ResourceExhausted)
    assert "/data/registry/x" in known.problem


def test_faults_of_the_program_stay_unknown() -> None:
    assert from_exception(KeyError("x")) is None
    assert from_exception(OSError(errno.EIO, "io")) is None
    assert from_exception(ExceptionGroup("tasks", [Internal("x."), KeyError("x")])) is None


def test_of_tasks_that_ended_together_the_first_error_is_told() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [Internal("one.")]), Internal("other.")])
    known = from_exception(group)
    assert isinstance(known, Internal)
    assert known.problem == "one."


async def test_calls_and_watches_are_bounded_apart_and_health_is_not() -> None:
    telemetry, echo = Telemetry(), Echo()
    server = Server(telemetry, CallLimit(4, 2))
    server.add_servicer(add_echo, echo, SERVICE)
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0, reflection=False)}"
    await server.start()
    await server.set_serving(True)
    channel: Any = open_channel(address)
    try:
        await _fill(Loopback(server, echo, telemetry, channel, address))
    finally:
        await channel.close()
        await server.drain(0)


async def _fill(loopback: Loopback) -> None:
    watches = [loopback.watch(b"0") for _ in range(2)]
    for stream in watches:
        await anext(stream)
    with pytest.raises(Busy, match="2 streams are open") as refusal:
        await anext(loopback.watch(b"0"))
    assert int(refusal.value.fields["retry_after_seconds"]) > 0
    calls = [asyncio.create_task(loopback.create(b"slow")) for _ in range(4)]
    labels = {"grpc_service": SERVICE, "grpc_method": "CreateEcho"}
    count = loopback.telemetry.registry.get_sample_value
    await until(lambda: count("drillyard_rpc_in_flight", labels) == 4.0)
    with pytest.raises(Busy, match="4 calls are being answered"):
        await loopback.get(b"hello")
    assert await loopback.health("") == 1
    for call in calls:
        call.cancel()
    for stream in watches:
        stream.cancel()
    await until(lambda: count("drillyard_rpc_in_flight", labels) == 0.0)
    assert await loopback.get(b"hello") == b"hello"
