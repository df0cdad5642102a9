"""Answers by GGUF files: a server of llama.cpp for each loaded version, asked as any endpoint is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from services.chassis.errors import InvalidArgument
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.llama_server import (
    LlamaServer,
    LlamaServerFault,
    LlamaServerOptions,
    llama_server_command,
)
from services.chassis.wire import from_document
from services.lm.doctor.diagnosis import Conversation
from services.lm.process import usable_cores
from services.test_runner.backends.fair_queue import FairQueue
from services.test_runner.backends.llama_server.files import served_files
from services.test_runner.backends.llama_server.scoring import ServerScorer
from services.test_runner.backends.openai_endpoint.backend import OpenAiEndpointBackend
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests, NotReached
from services.test_runner.backends.openai_endpoint.servers import LlamaCpp, Refused
from services.test_runner.backends.transformers_worker import WorkerLimits
from services.test_runner.domain import Artifact, Endpoint, FinishReason, Sampling, TestRunPhase, ToolMode
from services.test_runner.domain.scoring import AnswerRow, AnswerScore
from services.test_runner.ports import (
    Activity,
    Answer,
    BackendFaultError,
    GenerationEvent,
    Prompt,
    Rendered,
    ResolvedModel,
    Workload,
)
from services.test_runner.telemetry import TestRunnerTelemetry

_ALIAS = "model"
_MAX_SLOTS = 4
# A token is rarely shorter than two bytes; a conversation grows by answers and replies.
_BYTES_OF_TOKEN = 2
_LEAST_CONTEXT = 4096
_MOST_CONTEXT = 32768


@dataclass
class _Loaded:
    """A server and what it has loaded."""

    base: Artifact
    adapter: Artifact | None
    server: LlamaServer
    expiry: asyncio.TimerHandle | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers."""
        return Endpoint(
            base_url=f"{self.server.root_url}/v1",
            model=_ALIAS,
            api_key_secret="",
            tool_mode=ToolMode.UNSPECIFIED,
            num_ctx=0,
            stop=(),
            extra_body="",
            max_concurrency=self.server.options.num_slots,
        )

    def serves(self, workload: Workload) -> bool:
        """Whether it lives, has these weights loaded, and room for the prompts."""
        is_same = (self.base, self.adapter) == (workload.base, workload.adapter)
        return is_same and self.server.is_alive and self.server.options.num_context_tokens >= _num_context(workload)


class _OwnKeys:
    """The keys of servers that this process started, by their addresses."""

    trusted_hosts: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.of_servers: dict[str, str] = {}

    def check(self, endpoint: Endpoint) -> None:
        """Allow what was started here."""

    def key_of(self, endpoint: Endpoint) -> str:
        """Return the key of a server that runs."""
        return self.of_servers.get(endpoint.root_url, "")


class LlamaServerBackend:
    """Keeps at most `max_workers` servers, each ended after `idle_seconds`, or when another version needs its place.

    Args:
        place: Gives the local path of an artifact.
        command: The server's command; empty for that of LLAMA_SERVER, or of the PATH.
    """

    def __init__(
        self,
        *,
        place: Callable[[str], Awaitable[Path]],
        telemetry: TestRunnerTelemetry,
        limits: WorkerLimits,
        command: str = "",
    ) -> None:
        self._place, self._telemetry, self._limits, self._command = place, telemetry, limits, command
        self._queue = FairQueue(limits.max_workers, limits.queue)
        self._keys = _OwnKeys()
        # A server that died is started again for the whole unit of work.
        self._endpoints = OpenAiEndpointBackend(self._keys, max_tries=1)
        self._client: httpx2.AsyncClient | None = None
        self._idle: list[_Loaded] = []
        self._running: set[LlamaServer] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield `Prepared`, then every answer as it is finished, with activity between."""
        if workload.echo:
            raise InvalidArgument(
                "The prompt's own log-probabilities are told by weights in Hugging Face form alone.",
                "Name the version that this form was made from, or leave echo out.",
                field="echo",
            )
        yield Activity(TestRunPhase.LOAD_MODEL)
        async with self._lent(workload) as loaded:
            answering = self._endpoints.generate(replace(workload, endpoint=loaded.endpoint))
            async with aclosing(answering) as events:
                async for event in events:
                    if isinstance(event, Answer) and event.finish_reason is FinishReason.BACKEND_FAULT:
                        await _check_alive(loaded.server)
                    yield event

    async def render(self, model: ResolvedModel, prompt: Prompt) -> Rendered:
        """Return what the model reads."""
        async with self._asked(model, prompt) as (requests, _):
            chats = tuple(message.to_chat() for message in prompt.messages)
            served = await LlamaCpp(requests).rendered(Conversation(prompt.key, chats, prompt.tools))
            text = served.text or ""
            body = {"content": text, "add_special": True, "parse_special": True, "with_pieces": True}
            entries = (await requests.post("/tokenize", body)).body.get("tokens", ())
        return Rendered(text, tuple(entry["id"] for entry in entries), tuple(map(_piece, entries)))

    async def score(
        self, model: ResolvedModel, rows: Sequence[AnswerRow], max_tokens: int
    ) -> AsyncGenerator[AnswerScore]:
        """Yield the score of each row of token ids."""
        longest = max((row.token_ids for row in rows), key=len)
        prompt = Prompt("score", (), 0, token_ids=longest)
        async with self._asked(model, prompt) as (requests, server):
            scorer = ServerScorer(requests, server.options.num_slots, max_tokens)
            async with aclosing(scorer.scores(rows)) as scores:
                async for score in scores:
                    yield score

    async def close(self) -> None:
        """End all servers."""
        for loaded in self._idle:
            if loaded.expiry is not None:
                loaded.expiry.cancel()
        self._idle.clear()
        for server in list(self._running):
            await self._end(server)
        await asyncio.gather(*self._endings)
        await self._endpoints.close()
        if self._client is not None:
            await self._client.aclose()

    @asynccontextmanager
    async def _asked(self, model: ResolvedModel, prompt: Prompt) -> AsyncIterator[tuple[EndpointRequests, LlamaServer]]:
        """Lend a server for questions beside generation."""
        sampling = from_document(Sampling, {})
        workload = Workload(model.base, model.adapter, (prompt,), sampling, num_context_tokens=model.num_context_tokens)
        async with self._lent(workload) as loaded:
            self._client = self._client or open_client(())
            try:
                yield EndpointRequests(self._client, loaded.endpoint, loaded.server.api_key), loaded.server
            except NotReached as error:
                await _check_alive(loaded.server)
                raise BackendFaultError(f"llama.cpp's server does not answer: {error}.") from error
            except Refused as error:
                raise InvalidArgument(
                    f"llama.cpp's server refuses the prompt: {error}.", "Send messages that its template takes."
                ) from error

    @asynccontextmanager
    async def _lent(self, workload: Workload) -> AsyncIterator[_Loaded]:
        num_bytes = sum(prompt.size_bytes for prompt in workload.prompts)
        caller = workload.test_run_id or workload.caller
        async with self._queue.place(caller, num_bytes, is_bounded=not workload.test_run_id):
            loaded = await self._load(workload)
            try:
                yield loaded
            finally:
                if loaded.server.is_alive:
                    loop = asyncio.get_running_loop()
                    loaded.expiry = loop.call_later(self._limits.idle_seconds, self._expire, loaded)
                    self._idle.append(loaded)
                else:
                    await self._end(loaded.server)

    async def _load(self, workload: Workload) -> _Loaded:
        for loaded in self._idle:
            if loaded.serves(workload):
                return self._leave_idle(loaded)
        while self._idle and len(self._running) >= self._limits.max_workers:
            await self._end(self._leave_idle(self._idle[0]).server)
        since = time.monotonic()
        options = await self._options(workload)
        server = await LlamaServer.start(llama_server_command(self._command), options)
        self._running.add(server)
        self._telemetry.set_workers(len(self._running))
        try:
            await server.ready()
        except LlamaServerFault as fault:
            await self._end(server)
            raise BackendFaultError(str(fault)) from fault
        except BaseException:
            await self._end(server)
            raise
        self._telemetry.worker_ready(time.monotonic() - since)
        self._keys.of_servers[server.root_url] = server.api_key
        assert workload.base is not None
        return _Loaded(workload.base, workload.adapter, server)

    async def _options(self, workload: Workload) -> LlamaServerOptions:
        assert workload.base is not None
        adapter = await self._place(workload.adapter.uri) if workload.adapter else None
        files = served_files(await self._place(workload.base.uri), adapter)
        return LlamaServerOptions(
            model=files.model,
            adapter=files.adapter,
            alias=_ALIAS,
            num_slots=min(_MAX_SLOTS, usable_cores()),
            num_context_tokens=_num_context(workload),
            num_threads=self._limits.num_threads,
            memory_bytes=self._limits.memory_bytes,
            load_seconds=self._limits.timeouts.load_seconds,
            device=self._limits.device,
        )

    def _leave_idle(self, loaded: _Loaded) -> _Loaded:
        self._idle.remove(loaded)
        if loaded.expiry is not None:
            loaded.expiry.cancel()
        return loaded

    def _expire(self, loaded: _Loaded) -> None:
        self._idle.remove(loaded)
        ending = asyncio.get_running_loop().create_task(self._end(loaded.server))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, server: LlamaServer) -> None:
        await server.stop()
        self._keys.of_servers.pop(server.root_url, None)
        self._running.discard(server)
        self._telemetry.set_workers(len(self._running))


async def _check_alive(server: LlamaServer) -> None:
    """Raise the fault of a server that has ended, so that the whole unit of work is done again."""
    fault = await server.fault()
    if not server.is_alive:
        raise BackendFaultError(str(fault))


def _num_context(workload: Workload) -> int:
    """Return the tokens that each slot has to hold: a power of two, so that a server is rarely too small."""
    longest = max(_num_bytes(prompt) for prompt in workload.prompts) // _BYTES_OF_TOKEN
    needed = longest + 2 * workload.sampling.max_new_tokens
    context = _LEAST_CONTEXT
    while context < min(needed, _MOST_CONTEXT):
        context *= 2
    return min(context, workload.num_context_tokens or context)


def _num_bytes(prompt: Prompt) -> int:
    chats = sum(len(message.content.encode("utf-8", "replace")) for message in prompt.messages)
    tools = len(json.dumps(prompt.tools, default=dict)) if prompt.tools else 0
    return chats + tools + len(prompt.text.encode("utf-8", "replace")) + _BYTES_OF_TOKEN * len(prompt.token_ids)


def _piece(entry: dict[str, Any]) -> str:
    piece = entry["piece"]
    return piece if isinstance(piece, str) else bytes(piece).decode("utf-8", "replace")
