"""Generation by transformers models in worker processes of this machine, one per loaded model."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from services.chassis.wire import from_document
from services.lm import worker_protocol as protocol
from services.test_runner.backends.fair_queue import FairQueue, QueueLimits
from services.test_runner.backends.worker_events import answer_of, delta_of, environment_of
from services.test_runner.backends.worker_process import WorkerProcess, WorkerTimeouts
from services.test_runner.domain import Environment, Sampling, TestRunPhase
from services.test_runner.domain.scoring import AnswerRow, AnswerScore
from services.test_runner.ports import (
    Activity,
    Answer,
    GenerationEvent,
    Prepared,
    Prompt,
    Rendered,
    ResolvedModel,
    Workload,
)
from services.test_runner.telemetry import TestRunnerTelemetry

WORKER_COMMAND = (sys.executable, "-m", "services.lm.worker")

Placing = Callable[[str], Awaitable[Path]]


@dataclass(frozen=True)
class WorkerLimits:
    """How many workers there are, and how they work.

    0 leaves `max_batch` and `num_threads` to the worker, and means no limit of `memory_bytes`, which is each worker's.
    """

    max_workers: int = 1
    idle_seconds: float = 60.0
    max_batch: int = 0
    num_threads: int = 0
    device: str = "auto"
    memory_bytes: int = 0
    timeouts: WorkerTimeouts = field(default_factory=WorkerTimeouts)
    queue: QueueLimits = field(default_factory=QueueLimits)


@dataclass(frozen=True)
class _Key:
    """Workers of one key are interchangeable."""

    base_uri: str
    adapter_uri: str
    dtype: str
    num_threads: int
    device: str


@dataclass
class _Loaded:
    key: _Key
    worker: WorkerProcess
    environment: Environment
    expiry: asyncio.TimerHandle | None = None

    def serves(self, key: _Key) -> bool:
        """Whether it was started for `key`, or for one that left open what `key` asks for and got just that."""
        started, environment = self.key, self.environment
        return (
            (key.base_uri, key.adapter_uri) == (started.base_uri, started.adapter_uri)
            and key.dtype in (started.dtype, environment.dtype)
            and key.num_threads in (started.num_threads, environment.num_threads)
            and key.device in (started.device, environment.device)
        )


class TransformersWorkerBackend:
    """Keeps at most `max_workers` models loaded.

    A worker without work is ended after `idle_seconds`, or as soon as another model needs its place.
    """

    def __init__(
        self,
        *,
        place: Placing,
        telemetry: TestRunnerTelemetry,
        limits: WorkerLimits,
        command: tuple[str, ...] = WORKER_COMMAND,
    ) -> None:
        self._place, self._telemetry, self._limits, self._command = place, telemetry, limits, command
        self._queue = FairQueue(limits.max_workers, limits.queue)
        self._idle: list[_Loaded] = []
        self._running: set[WorkerProcess] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield `Prepared`, then every answer as it is finished, with activity between."""
        yield Activity(TestRunPhase.LOAD_MODEL)
        async with self._lent(workload) as loaded:
            yield Prepared(loaded.environment)
            async with aclosing(self._answers(loaded.worker, workload)) as answers:
                async for event in answers:
                    yield event

    async def render(self, model: ResolvedModel, prompt: Prompt) -> Rendered:
        """Return what the model reads."""
        async with self._lent(Workload(model.base, model.adapter, (prompt,), from_document(Sampling, {}))) as loaded:
            chats = tuple(message.to_chat() for message in prompt.messages)
            preview = await loaded.worker.preview(protocol.Preview(0, chats, prompt.tools, prompt.text))
        return Rendered(preview.text, preview.token_ids, preview.tokens)

    async def score(
        self, model: ResolvedModel, rows: Sequence[AnswerRow], max_tokens: int
    ) -> AsyncGenerator[AnswerScore]:
        """Yield the score of each row; conversations are rendered as they are trained."""
        sampling = replace(from_document(Sampling, {}), max_new_tokens=0)
        prompts = tuple(Prompt(str(place), row.messages, 0, row.tools) for place, row in enumerate(rows))
        workload = Workload(model.base, model.adapter, prompts, sampling, echo=True)
        async with self._lent(workload) as loaded:
            encoded = [await _encoded(loaded.worker, row) for row in rows]
            prompts = tuple(
                Prompt(str(place), (), 0, token_ids=ids[: num_prompt + max_tokens], echo_from=num_prompt)
                for place, (ids, num_prompt) in enumerate(encoded)
            )
            async with aclosing(self._answers(loaded.worker, replace(workload, prompts=prompts))) as events:
                async for event in events:
                    if isinstance(event, Answer):
                        place = int(event.key)
                        ids, num_prompt = encoded[place]
                        # A row that is trained ends as the model ends its answers.
                        yield AnswerScore(place, ids, num_prompt, event.prompt_tokens[num_prompt:], ends_turn=True)

    async def close(self) -> None:
        """End all workers."""
        for loaded in self._idle:
            if loaded.expiry is not None:
                loaded.expiry.cancel()
        self._idle.clear()
        for worker in list(self._running):
            await self._end(worker)
        await asyncio.gather(*self._endings)

    @asynccontextmanager
    async def _lent(self, workload: Workload) -> AsyncIterator[_Loaded]:
        num_bytes = sum(prompt.size_bytes for prompt in workload.prompts)
        caller = workload.test_run_id or workload.caller
        async with self._queue.place(caller, num_bytes, is_bounded=not workload.test_run_id):
            loaded = await self._load(self._key(workload))
            try:
                yield loaded
            finally:
                # A worker that would not stop when its stream was left is still busy with it.
                if loaded.worker.is_free:
                    loop = asyncio.get_running_loop()
                    loaded.expiry = loop.call_later(self._limits.idle_seconds, self._expire, loaded)
                    self._idle.append(loaded)
                else:
                    await self._end(loaded.worker)

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

    async def _load(self, key: _Key) -> _Loaded:
        for loaded in self._idle:
            if loaded.serves(key) and loaded.worker.is_alive:
                return self._leave_idle(loaded)
        while self._idle and len(self._running) >= self._limits.max_workers:
            await self._end(self._leave_idle(self._idle[0]).worker)
        since = time.monotonic()
        command = await self._command_for(key)
        worker = await WorkerProcess.start(command, self._limits.timeouts, self._limits.memory_bytes)
        self._running.add(worker)
        self._telemetry.set_workers(len(self._running))
        try:
            ready = await worker.ready()
        except BaseException:
            await self._end(worker)
            raise
        self._telemetry.worker_ready(time.monotonic() - since)
        return _Loaded(key, worker, environment_of(ready))

    async def _command_for(self, key: _Key) -> tuple[str, ...]:
        command = [*self._command, "--model", str(await self._place(key.base_uri)), "--device", key.device]
        if key.adapter_uri:
            command += ["--adapter", str(await self._place(key.adapter_uri))]
        if key.dtype:
            command += ["--dtype", key.dtype]
        if key.num_threads:
            command += ["--threads", str(key.num_threads)]
        return tuple(command)

    def _leave_idle(self, loaded: _Loaded) -> _Loaded:
        self._idle.remove(loaded)
        if loaded.expiry is not None:
            loaded.expiry.cancel()
        return loaded

    def _expire(self, loaded: _Loaded) -> None:
        self._idle.remove(loaded)
        ending = asyncio.get_running_loop().create_task(self._end(loaded.worker))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, worker: WorkerProcess) -> None:
        await worker.stop()
        self._running.discard(worker)
        self._telemetry.set_workers(len(self._running))


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
