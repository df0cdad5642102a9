"""How many calls a service answers at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.chassis.calls import CallLimit
from services.chassis.channel import open_channel
from services.chassis.errors import Busy
from services.chassis.server import Server
from services.chassis.telemetry import Telemetry
from tests.unit.chassis.rpc.rpc_test import SERVICE, Echo, Loopback, add_echo, until


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
