"""Answers by GGUF files: a server of llama.cpp for each loaded version, asked as any endpoint is."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.llama_server import (
    LlamaServer,
    LlamaServerFault,
    LlamaServerOptions,
    llama_server_command,
)
from services.chassis.wire import from_document
from services.lm.conversion.go_template import GoTemplateError
from services.lm.doctor.diagnosis import Conversation
from services.lm.process import usable_cores
from services.test_runner.backends.llama_server.loaded import (
    ALIAS,
    MOST_CONTEXT,
    LoadedServer,
    OllamaForm,
    OwnKeys,
    num_context,
    served_files,
)
from services.test_runner.backends.llama_server.scoring import ServerScorer
from services.test_runner.backends.model_pool import ModelPool, WorkerLimits
from services.test_runner.backends.openai_endpoint.backend import OpenAiEndpointBackend
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests, NotReached
from services.test_runner.backends.openai_endpoint.servers import LlamaCpp, Refused
from services.test_runner.backends.served_template import ServedTemplateProbe
from services.test_runner.domain.diagnosis import RenderedConversation, Room
from services.test_runner.domain.generation import Sampling
from services.test_runner.domain.scoring import AnswerRow, AnswerScore
from services.test_runner.domain.test_run import TestRunPhase
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.diagnosis import Comparison
from services.test_runner.ports.generation import (
    Activity,
    Answer,
    BackendFaultError,
    GenerationEvent,
    Prompt,
    Rendered,
    Workload,
)
from services.test_runner.ports.registry import ResolvedModel
from services.test_runner.telemetry import TestRunnerTelemetry

_MAX_SLOTS = 4
# The server ends connections that were kept open, which the next request on one finds out. One that died is started
# again for the whole unit of work.
_TRIES = 3


class LlamaServerBackend(ModelPool[LlamaServer, LoadedServer]):
    """Answers by GGUF files, each loaded by a server.

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
        super().__init__(limits, telemetry)
        self._place, self._command = place, command
        self._keys = OwnKeys()
        self._endpoints = OpenAiEndpointBackend(self._keys, max_tries=_TRIES)
        self._client: httpx2.AsyncClient | None = None

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
            prompts, refusals = loaded.ollama.answerable(workload.prompts)
            answering = self._endpoints.generate(replace(workload, prompts=prompts, endpoint=loaded.endpoint))
            async with aclosing(answering) as events:
                async for event in events:
                    if isinstance(event, Answer) and event.finish_reason is FinishReason.BACKEND_FAULT:
                        await _check_alive(loaded.process)
                    yield event
            for refusal in refusals:
                yield refusal

    async def render(self, model: ResolvedModel, prompt: Prompt) -> Rendered:
        """Return what the model reads."""
        async with self._asked(model, prompt) as (requests, loaded):
            text = loaded.ollama.rendered(prompt).text
            if not text:
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
        async with self._asked(model, prompt) as (requests, loaded):
            options = loaded.process.options
            slots, context = options.num_slots, options.num_context_tokens
            scorer = ServerScorer(requests, slots, context, max_tokens, loaded.ollama.stop)
            async with aclosing(scorer.scores(rows)) as scores:
                async for score in scores:
                    yield score

    async def compare(self, model: ResolvedModel, rendered: Sequence[RenderedConversation], room: Room) -> Comparison:
        """Return in what a GGUF form differs from the template of the weights that it was made from."""
        longest = max((rendering.rendering.text for rendering in rendered), key=len, default="")
        async with self._asked(model, Prompt("compare", (), 0, text=longest)) as (_, loaded):
            if loaded.ollama.template:
                raise FailedPrecondition(
                    f"The prompts of {model.model_version_id} are made by a template of Ollama.",
                    "Compare them by `drillyard publish`, or diagnose the version that it was made from.",
                )
            return await ServedTemplateProbe(self._keys).compare(loaded.endpoint, rendered, room)

    async def close(self) -> None:
        """End all servers."""
        await super().close()
        await self._endpoints.close()
        if self._client is not None:
            await self._client.aclose()

    @asynccontextmanager
    async def _asked(
        self, model: ResolvedModel, prompt: Prompt
    ) -> AsyncIterator[tuple[EndpointRequests, LoadedServer]]:
        """Lend a server for questions beside generation."""
        sampling = from_document(Sampling, {})
        workload = Workload(model.base, model.adapter, (prompt,), sampling, num_context_tokens=model.num_context_tokens)
        async with self._lent(workload) as loaded:
            self._client = self._client or open_client(())
            try:
                yield EndpointRequests(self._client, loaded.endpoint, loaded.process.api_key), loaded
            except NotReached as error:
                await _check_alive(loaded.process)
                raise BackendFaultError(f"llama.cpp's server does not answer: {error}.") from error
            except Refused as error:
                raise _refused(f"llama.cpp's server refuses the prompt: {error}.") from error
            except GoTemplateError as error:
                raise _refused(f"Ollama's template refuses the messages: {error}") from error

    async def _start(self, workload: Workload) -> LoadedServer:
        command, (options, ollama) = llama_server_command(self._command), await self._options(workload)
        server = await LlamaServer.start(command, options)
        async with self._started(server):
            try:
                await server.ready()
            except LlamaServerFault as fault:
                raise BackendFaultError(str(fault)) from fault
        self._keys.of_servers[server.root_url] = server.api_key
        assert workload.base is not None
        return LoadedServer(server, workload.base, workload.adapter, ollama)

    async def _options(self, workload: Workload) -> tuple[LlamaServerOptions, OllamaForm]:
        assert workload.base is not None
        adapter = await self._place(workload.adapter.uri) if workload.adapter else None
        files = served_files(await self._place(workload.base.uri), adapter)
        ollama = files.ollama or OllamaForm()
        options = LlamaServerOptions(
            model=files.model,
            adapter=files.adapter,
            alias=ALIAS,
            num_slots=min(_MAX_SLOTS, usable_cores()),
            num_context_tokens=min(num_context(workload), ollama.num_ctx or MOST_CONTEXT),
            num_threads=self._limits.num_threads,
            memory_bytes=self._limits.memory_bytes,
            load_seconds=self._limits.timeouts.load_seconds,
            device=self._limits.device,
        )
        return options, ollama

    async def _end(self, process: LlamaServer) -> None:
        await super()._end(process)
        self._keys.of_servers.pop(process.root_url, None)


def _refused(problem: str) -> InvalidArgument:
    return InvalidArgument(problem, "Send messages that its template takes.", field="messages")


async def _check_alive(server: LlamaServer) -> None:
    """Raise the fault of a server that has ended, so that the whole unit of work is done again."""
    fault = await server.fault()
    if not server.is_alive:
        raise BackendFaultError(str(fault))


def _piece(entry: dict[str, Any]) -> str:
    piece = entry["piece"]
    return piece if isinstance(piece, str) else bytes(piece).decode("utf-8", "replace")
