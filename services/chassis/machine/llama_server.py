"""llama.cpp's server as a child process that serves one GGUF file on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import structlog

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.memory import offer_to_kernel, outgrows
from services.chassis.machine.parent import child_environment

_KEPT_LINES = 200
_SHOWN_LINES = 3
_MAX_SHOWN_CHARACTERS = 500
_LOOK_SECONDS = 0.05
_TERM_SECONDS = 2.0
_COMPLAINT = re.compile(r"error|fail|exception|invalid|unknown|unsupported|out of memory", re.IGNORECASE)
_log = structlog.get_logger()


class LlamaServerFault(Exception):
    """The server ended, or does not answer; the text holds its own words."""


@dataclass(frozen=True)
class LlamaServerOptions:
    """What a server serves, and how.

    Attributes:
        model: The GGUF file.
        alias: The name under which it answers.
        adapter: A GGUF adapter that is put on it.
        num_context_tokens: What a slot holds, prompt and answer together.
        num_threads: 0 leaves the choice to the server.
        port: 0 for a free one.
        memory_bytes: A server that takes more is ended; 0 is no limit.
        load_seconds: A model that loads longer is given up.
        device: "cpu" keeps it from GPUs.
        more: Further options of its command line.
        api_key: What requests have to show; empty for a new secret.
    """

    model: Path
    alias: str
    adapter: Path | None = None
    num_slots: int = 1
    num_context_tokens: int = 4096
    num_threads: int = 0
    port: int = 0
    memory_bytes: int = 0
    load_seconds: float = 600.0
    device: str = "auto"
    more: tuple[str, ...] = ()
    api_key: str = field(default="", repr=False)


def llama_server_command(
    setting: str = "", *, variable: str = "TEST_RUNNER_LLAMA_SERVER", environment: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Return the command: the setting's, else that of LLAMA_SERVER, else `llama-server` of the PATH.

    Raises:
        FailedPrecondition: There is none.
    """
    command = shlex.split(setting or environment.get("LLAMA_SERVER", "")) or ["llama-server"]
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise FailedPrecondition(
            f"llama.cpp's server, which serves GGUF files, is not on this machine: there is no {command[0]}.",
            f"Install llama.cpp (`apt-get install llama.cpp`, `brew install llama.cpp`), or set {variable} to its "
            "command.",
        )
    return (program, *command[1:])


class LlamaServer:
    """A child of this process; the kernel ends it when this process ends.

    Attributes:
        options: What it was started with.
        api_key: What each request has to show.
        root_url: Its address, such as "http://127.0.0.1:40001".
    """

    def __init__(
        self, process: asyncio.subprocess.Process, options: LlamaServerOptions, api_key: str, root_url: str
    ) -> None:
        self.options, self.api_key, self.root_url = options, api_key, root_url
        self._process = process
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._is_too_large = False
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._weigh())]

    @classmethod
    async def start(cls, command: Sequence[str], options: LlamaServerOptions) -> LlamaServer:
        """Start a server without waiting for its model."""
        port, api_key = options.port or _free_port(), options.api_key or secrets.token_urlsafe(24)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.chassis.machine.parent", str(os.getpid())),
            *command,
            *_arguments(options, port),
            env=child_environment() | {"LLAMA_API_KEY": api_key},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        offer_to_kernel(process.pid)
        _log.info("llama_server_started", server_pid=process.pid)
        return cls(process, options, api_key, f"http://127.0.0.1:{port}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def ready(self) -> None:
        """Return when it answers as its model.

        Raises:
            LlamaServerFault: It ended, or loaded for too long.
        """
        headers = {"authorization": f"Bearer {self.api_key}"}
        seconds = self.options.load_seconds
        try:
            async with (
                asyncio.timeout(seconds),
                httpx2.AsyncClient(base_url=self.root_url, headers=headers, trust_env=False) as client,
            ):
                while not await self._answers(client):
                    if not self.is_alive:
                        raise await self.fault()
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError as error:
            raise LlamaServerFault(f"llama.cpp's server did not load its model within {seconds:.0f} s.") from error

    async def wait(self) -> None:
        """Return when it has ended."""
        await self._process.wait()

    async def fault(self, seconds: float = 1.0) -> LlamaServerFault:
        """Return what a server says that broke off; one that lives on is not to blame for longer than `seconds`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
            await asyncio.wait({self._tasks[0]}, timeout=seconds)
        if self.is_alive:
            return LlamaServerFault("llama.cpp's server broke off its answer.")
        if self._is_too_large:
            return LlamaServerFault(
                f"llama.cpp's server took more than {self.options.memory_bytes >> 20} MiB of memory."
            )
        complaints = [line for line in self._lines if _COMPLAINT.search(line)] or list(self._lines)
        # The first complaint names the reason; those behind it are what came of that.
        words = " | ".join(complaints[:_SHOWN_LINES])[:_MAX_SHOWN_CHARACTERS] or "nothing"
        return LlamaServerFault(f"llama.cpp's server ended with code {self._process.returncode}; it said: {words}")

    async def stop(self) -> None:
        """End it and collect it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Its command may be a script, whose program is of the same group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _TERM_SECONDS)
                break
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _log.info("llama_server_ended", server_pid=self.pid)

    async def _answers(self, client: httpx2.AsyncClient) -> bool:
        try:
            health = await client.get("/health")
            if health.status_code != httpx2.codes.OK:
                return False
            models = (await client.get("/v1/models")).json()
        except (httpx2.HTTPError, ValueError):
            return False
        return any(entry.get("id") == self.options.alias for entry in models.get("data", ()))

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        while chunk := await self._process.stdout.read(1 << 16):
            *lines, rest = (rest + chunk)[-(1 << 17) :].split(b"\n")
            self._lines.extend(line.decode("utf-8", "replace").strip() for line in lines if line.strip())

    async def _weigh(self) -> None:
        await outgrows(self.pid, self.options.memory_bytes, with_children=True)
        if self.is_alive:
            self._is_too_large = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


def _arguments(options: LlamaServerOptions, port: int) -> list[str]:
    values: dict[str, object] = {
        "--model": options.model,
        "--alias": options.alias,
        "--host": "127.0.0.1",
        "--port": port,
        "--parallel": options.num_slots,
        "--ctx-size": options.num_slots * options.num_context_tokens,
    }
    if options.adapter is not None:
        values["--lora"] = options.adapter
    if options.num_threads:
        values |= {"--threads": options.num_threads, "--threads-batch": options.num_threads}
    if options.device == "cpu":
        values["--n-gpu-layers"] = 0
    return [
        *(str(part) for pair in values.items() for part in pair),
        "--jinja",
        "--no-webui",
        "--no-warmup",
        *options.more,
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
