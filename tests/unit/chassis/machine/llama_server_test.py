"""llama.cpp's server as a child process, played by a small script."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.llama_server import (
    LlamaServer,
    LlamaServerFault,
    LlamaServerOptions,
    llama_server_command,
)
from tests.machine import PATIENCE_SECONDS

_PLAYED = """
import http.server, json, os, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
key = os.environ["LLAMA_API_KEY"]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.headers["authorization"] == f"Bearer {key}"
        body = json.dumps({"data": [{"id": options["--alias"]}]} if allowed else {}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(options["--port"])), Handler).serve_forever()
"""
_BROKEN = "print('llama_model_load: loading'); print('error: unknown model architecture: odd'); raise SystemExit(3)"
_SLOW = "import time; time.sleep(60)"


@asynccontextmanager
async def started(program: str, *, load_seconds: float = 30.0) -> AsyncIterator[LlamaServer]:
    options = LlamaServerOptions(Path("m.gguf"), "small", load_seconds=load_seconds)
    server = await LlamaServer.start((sys.executable, "-S", "-c", program), options)
    try:
        yield server
    finally:
        await server.stop()


def test_a_machine_without_the_server_is_told_what_to_install() -> None:
    with pytest.raises(FailedPrecondition, match="no llama-server") as raised:
        llama_server_command(environment={"PATH": "/nowhere"})
    assert "llama.cpp" in raised.value.next_step and "TEST_RUNNER_LLAMA_SERVER" in raised.value.next_step
    known = llama_server_command(environment={"PATH": os.environ["PATH"], "LLAMA_SERVER": "sh -c 'exec x'"})
    assert known[0].endswith("/sh") and known[1:] == ("-c", "exec x")


async def test_a_server_is_ready_once_it_answers_as_its_model_and_ends_when_it_is_stopped() -> None:
    async with started(_PLAYED) as server:
        await server.ready()
        assert server.is_alive
    assert not server.is_alive and not psutil.pid_exists(server.pid)


async def test_a_server_that_ends_is_quoted() -> None:
    async with started(_BROKEN) as server:
        with pytest.raises(LlamaServerFault, match="code 3; it said: error: unknown model architecture: odd"):
            await server.ready()


async def test_a_server_that_loads_for_too_long_is_given_up() -> None:
    async with started(_SLOW, load_seconds=0.2) as server:
        with pytest.raises(LlamaServerFault, match="did not load its model"):
            await server.ready()


def test_a_server_dies_with_the_process_that_started_it() -> None:
    parent = f"""
import asyncio, sys
from pathlib import Path
from services.chassis.machine.llama_server import LlamaServer, LlamaServerOptions
async def main():
    command = (sys.executable, "-S", "-c", {_SLOW!r})
    server = await LlamaServer.start(command, LlamaServerOptions(Path("m"), "small"))
    while b"sleep" not in Path(f"/proc/{{server.pid}}/cmdline").read_bytes():
        await asyncio.sleep(0.01)
    print("pid", server.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("pid"))
        child = psutil.Process(int(line.split()[1]))
        process.kill()
    end = time.monotonic() + PATIENCE_SECONDS
    with suppress(psutil.NoSuchProcess):
        while child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.02)
    assert time.monotonic() < end
