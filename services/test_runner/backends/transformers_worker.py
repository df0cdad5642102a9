"""Generation by transformers models in worker processes of this machine, one per loaded model."""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from services.chassis.wire import from_document
from services.lm import worker_protocol as protocol
from services.test_runner.backends.model_pool import LoadedModel, ModelPool, WorkerLimits
from services.test_runner.backends.worker_events import answer_of, delta_of, environment_of
from services.test_runner.backends.worker_process import WorkerProcess
from services.test_runner.domain.generation import Sampling
from services.test_runner.domain.scoring import AnswerRow, AnswerScore
from services.test_runner.domain.test_run import Environment, TestRunPhase
from services.test_runner.ports.generation import (
    Activity,
    Answer,
    GenerationEvent,
    Prepared,
    Prompt,
    Rendered,
    Workload,
)
from services.test_runner.ports.registry import ResolvedModel
from services.test_runner.telemetry import TestRunnerTelemetry

WORKER_COMMAND = (sys.executable, "-m", "services.lm.worker")

Placing = Callable[[str], Awaitable[Path]]


@dataclass(frozen=True)
class _Key:
    """Workers of one key are interchangeable."""

    base_uri: str
    adapter_uri: str
    dtype: str
    num_threads: int
    device: str


@dataclass
class _Loaded(LoadedModel[WorkerProcess]):
    key: _Key
    environment: Environment
    key_of: Callable[[Workload], _Key]

    @property
    def is_free(self) -> bool:
        return self.process.is_free

    def serves(self, workload: Workload) -> bool:
        """Whether it was started for the workload's key, or for one that left open what that asks for and got that."""
        key, started, environment = self.key_of(workload), self.key, self.environment
        return (
            (key.base_uri, key.adapter_uri) == (started.base_uri, started.adapter_uri)
            and key.dtype in (started.dtype, environment.dtype)
            and key.num_threads in (started.num_threads, environment.num_threads)
            and key.device in (started.device, environment.device)
            and self.process.is_alive
        )


class TransformersWorkerBackend(ModelPool[WorkerProcess, _Loaded]):
    """Answers by weights of transformers, each loaded by a worker of `services.lm`."""

    def __init__(
        self,
        *,
        place: Placing,
        telemetry: TestRunnerTelemetry,
        limits: WorkerLimits,
        command: tuple[str, ...] = WORKER_COMMAND,
    ) -> None:
        super().__init__(limits, telemetry)
        self._place, self._command = place, command

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield `Prepared`, then every answer as it is finished, with activity between."""
        yield Activity(TestRunPhase.LOAD_MODEL)
        async with self._lent(workload) as loaded:
            yield Prepared(loaded.environment)
            async with aclosing(self._answers(loaded.process, workload)) as answers:
                async for event in answers:
                    yield event

    async def render(self, model: ResolvedModel, prompt: Prompt) -> Rendered:
        """Return what the model reads."""
        async with self._lent(Workload(model.base, model.adapter, (prompt,), from_document(Sampling, {}))) as loaded:
            chats = tuple(message.to_chat() for message in prompt.messages)
            preview = await loaded.process.preview(protocol.Preview(0, chats, prompt.tools, prompt.text))
        return Rendered(preview.text, preview.token_ids, preview.tokens)

    async def score(
        self, model: ResolvedModel, rows: Sequence[AnswerRow], max_tokens: int
    ) -> AsyncGenerator[AnswerScore]:
        """Yield the score of each row; conversations are rendered as they are trained."""
        sampling = replace(from_document(Sampling, {}), max_new_tokens=0)
        prompts = tuple(Prompt(str(place), row.messages, 0, row.tools) for place, row in enumerate(rows))
        workload = Workload(model.base, model.adapter, prompts, sampling, echo=True)
        async with self._lent(workload) as loaded:
            encoded = [await _encoded(loaded.process, row) for row in rows]
            prompts = tuple(
                Prompt(str(place), (), 0, token_ids=ids[: num_prompt + max_tokens], echo_from=num_prompt)
                for place, (ids, num_prompt) in enumerate(encoded)
            )
            async with aclosing(self._answers(loaded.process, replace(workload, prompts=prompts))) as events:
                async for event in events:
                    if isinstance(event, Answer):
                        place = int(event.key)
                        ids, num_prompt = encoded[place]
                        # A row that is trained ends as the model ends its answers.
                        yield AnswerScore(place, ids, num_prompt, event.prompt_tokens[num_prompt:], ends_turn=True)

    async def _answers(self, worker: WorkerProcess, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        yield Activity(TestRunPhase.GENERATE)
        generating = worker.generate(partial(_generate_request, workload=workload, max_batch=self._limits.max_batch))
        async with aclosing(generating) as events:
            async for event in events:
                match event:
                    case protocol.Progress():
                        yield Activity(TestRunPhase.GENERATE, event.tokens, event.active)
                    case protocol.Delta():
                        yield delta_of(event)
                    case protocol.Answer():
                        yield answer_of(event)

    def _key(self, workload: Workload) -> _Key:
        assert workload.base is not None
        adapter = workload.adapter.uri if workload.adapter else ""
        num_threads, device = workload.num_threads or self._limits.num_threads, workload.device or self._limits.device
        return _Key(workload.base.uri, adapter, workload.dtype, num_threads, device)

    async def _start(self, workload: Workload) -> _Loaded:
        key = self._key(workload)
        command = await self._command_for(key)
        worker = await WorkerProcess.start(command, self._limits.timeouts, self._limits.memory_bytes)
        async with self._started(worker):
            return _Loaded(worker, key, environment_of(await worker.ready()), self._key)

    async def _command_for(self, key: _Key) -> tuple[str, ...]:
        command = [*self._command, "--model", str(await self._place(key.base_uri)), "--device", key.device]
        if key.adapter_uri:
            command += ["--adapter", str(await self._place(key.adapter_uri))]
        if key.dtype:
            command += ["--dtype", key.dtype]
        if key.num_threads:
            command += ["--threads", str(key.num_threads)]
        return tuple(command)


async def _encoded(worker: WorkerProcess, row: AnswerRow) -> tuple[tuple[int, ...], int]:
    """Return the token ids of a row, and how many are the prompt's."""
    if row.answer is None:
        return row.token_ids, row.num_prompt_tokens
    chats = tuple(message.to_chat() for message in (*row.messages, row.answer))
    preview = await worker.preview(protocol.Preview(0, chats, row.tools, answered=True))
    return preview.token_ids, preview.num_prompt_tokens


def _prompt_to_worker(prompt: Prompt, max_new_tokens: int) -> protocol.Prompt:
    return protocol.Prompt(
        key=prompt.key,
        messages=tuple(message.to_chat() for message in prompt.messages),
        max_new_tokens=max_new_tokens,
        seed=prompt.seed,
        tools=prompt.tools,
        text=prompt.text,
        stop=prompt.stop,
        conversation=prompt.conversation,
        token_ids=prompt.token_ids,
        echo_from=prompt.echo_from,
        json_schema=prompt.json_schema,
    )


def _generate_request(request_id: int, workload: Workload, max_batch: int) -> protocol.Generate:
    sampling = workload.sampling
    return protocol.Generate(
        id=request_id,
        prompts=tuple(_prompt_to_worker(prompt, sampling.max_new_tokens) for prompt in workload.prompts),
        sampling=protocol.Sampling(**{item.name: getattr(sampling, item.name) for item in fields(protocol.Sampling)}),
        max_batch=max_batch,
        log_probs=workload.log_probs,
        num_top_log_probs=workload.num_top_log_probs,
        echo=workload.echo,
        stream=workload.stream,
    )
