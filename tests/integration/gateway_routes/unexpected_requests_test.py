"""Requests that break off, are too long or keep services busy, and some drawn ones; `make fuzz` sends a million.

What they leave behind is no ground for other tests: this file is the last of its folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import ServiceError
from tests.fuzz.hostile import hostile_calls
from tests.fuzz.rpc import SERVICES, fuzz_rpcs
from tests.fuzz.tally import Tally
from tests.integration.gateway_routes.conftest import Front
from tests.integration.system_process import SystemProcess
from tests.machine import PATIENCE_SECONDS
from tests.unit.loop_turns import LONGEST_TURN_SECONDS
from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import PlainLines
from ui.models.sending import send_files

NUM_REQUESTS = 200
# On a busy machine a callback takes more processor time too, when another process has the same core's other half.
MOST_TRIES = 3


class CutOffOnce(Gateway):
    """Breaks the line at 99 % of the first body that it sends."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.offsets: list[int] = []

    def send(self, path: str, content: bytes, **query: Any) -> Document:
        self.offsets.append(query["offset"])
        if len(self.offsets) > 1:
            return super().send(path, content, **query)
        head = f"PUT /api/v1{path}?offset=0 HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        _say(self.url, head + content[: len(content) * 99 // 100])
        raise GatewayError("UNAVAILABLE", "It broke off.", "")


def _say(url: str, request: bytes, *, waits: bool = False) -> bytes:
    """Send bytes, with a Host behind their first line, and close the line; `waits` for all that comes back before."""
    address = url.removeprefix("http://")
    host, _, port = address.partition(":")
    first, _, rest = request.partition(b"\r\n")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as line, line.makefile("rb") as answer:
        line.sendall(first + f"\r\nHost: {address}\r\n".encode() + rest)
        return answer.read() if waits else b""


def test_an_upload_that_is_cut_off_at_99_percent_goes_on_from_there(front: Front, tmp_path: Path) -> None:
    content = bytes(range(256)) * (1 << 14)
    (tmp_path / "m.gguf").write_bytes(content)
    gateway = CutOffOnce(front.url)
    artifact = send_files(gateway, {"m.gguf": tmp_path / "m.gguf"}, PlainLines(sys.stdout), as_file=True)
    assert artifact["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    # What was on its way when the line broke may be lost, and not more.
    assert gateway.offsets[0] == 0 and gateway.offsets[-1] > len(content) // 2


def test_a_head_that_is_too_long_is_refused_in_a_sentence(front: Front) -> None:
    begin = b"GET / HTTP/1.1\r\nCookie: "
    # Not a byte more than it takes, so that none is left unread, which would reset the line.
    padding = b"a" * (64 * 1024 + 1 - len(begin) - len(f"Host: {front.url.removeprefix('http://')}\r\n"))
    head, _, body = _say(front.url, begin + padding, waits=True).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ") and b"application/problem+json" in head
    assert "longer than 65536 bytes" in json.loads(body)["problem"]


async def longest_callbacks(system: SystemProcess) -> dict[str, tuple[float, str]]:
    """Return the longest callback of the services' loop during each call, the best of a few where it is too long."""
    longest: dict[str, tuple[float, str]] = {}
    async with hostile_calls(system) as calls:
        for name, call in calls.items():
            for _ in range(MOST_TRIES):
                system.loop_monitor.begin()
                with suppress(ServiceError):
                    await call()
                longest[name] = min(longest.get(name, (math.inf, "")), system.loop_monitor.longest())
                if longest[name][0] < LONGEST_TURN_SECONDS:
                    break
    return longest


@pytest.mark.timeout(600)
def test_whatever_they_are_asked_the_services_event_loop_goes_on(system: SystemProcess) -> None:
    longest = asyncio.run(longest_callbacks(system))
    assert {name: seen for name, seen in longest.items() if seen[0] >= LONGEST_TURN_SECONDS} == {}


@pytest.mark.timeout(300)
def test_no_drawn_request_meets_an_error_of_the_program(system: SystemProcess, tmp_path: Path) -> None:
    tally = Tally(tmp_path)
    asyncio.run(fuzz_rpcs(system, NUM_REQUESTS, 7, tally))
    assert tally.faults == {}
    for service in SERVICES:
        assert tally.outcomes[service].total() == NUM_REQUESTS and len(tally.outcomes[service]) > 1
