"""Answers by served models, each prompt a request of its own."""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Protocol
from weakref import WeakValueDictionary

import httpx2

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.guarded_http import open_client
from services.test_runner.backends.fair_queue import FairQueue, QueueLimits
from services.test_runner.backends.openai_endpoint.client import EndpointClient, OnTry, Tries
from services.test_runner.backends.openai_endpoint.facts import Facts, facts_of
from services.test_runner.backends.openai_endpoint.gates import Gate
from services.test_runner.backends.openai_endpoint.request_body import offered_tools
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests
from services.test_runner.backends.openai_endpoint.servers import server_of
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.test_run import Environment, TestRunPhase
from services.test_runner.ports.generation import Activity, Answer, GenerationEvent, Prepared, Prompt, Workload

# What a server says of itself is asked again after this time, so that another model at its address is seen.
_FACTS_SECONDS = 300.0
# Generations that are no run's, over all endpoints; a run's requests are bounded by its own concurrency.
NUM_PLACES = 32

_Events = asyncio.Queue[GenerationEvent | BaseException]


class AskingPolicy(Protocol):
    """Which endpoints are asked, and with which keys."""

    @property
    def trusted_hosts(self) -> Collection[str]:
        """Hosts that may be at any address."""
        ...

    def check(self, endpoint: Endpoint) -> None:
        """Raise an error where the endpoint may not be asked."""
        ...

    def key_of(self, endpoint: Endpoint) -> str:
        """Return the endpoint's key, empty when it needs none."""
        ...


@dataclass(frozen=True)
class _KnownFacts:
    """What a server said of itself, when, and its gate, which is kept as long as this is or requests are inside."""

    facts: Facts
    time: float
    gate: Gate


class OpenAiEndpointBackend:
    """Asks endpoints; one that hangs, breaks or babbles costs the case that it was asked for, never more."""

    def __init__(
        self,
        policy: AskingPolicy,
        *,
        max_tries: int = 5,
        on_try: OnTry = lambda _: None,
        queue: FairQueue | None = None,
    ) -> None:
        """`max_tries` counts the tries of one prompt, while its time lasts; `on_try` is told what came of each.

        What is no run's waits in `queue`.
        """
        self._queue = queue or FairQueue(NUM_PLACES, QueueLimits())
        self._policy = policy
        self._tries = Tries(max_tries, on_try)
        self._gates: WeakValueDictionary[str, Gate] = WeakValueDictionary()
        self._known: dict[tuple[str, str, int], _KnownFacts] = {}
        self._client: httpx2.AsyncClient | None = None

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield `Prepared`, then every answer as it is finished, with activity between.

        Raises:
            Busy: It is no run's, and as much as is allowed waits already, or no place came free in time.
        """
        if workload.test_run_id:
            place: AbstractAsyncContextManager[None] = nullcontext()
        else:
            num_bytes = sum(prompt.size_bytes for prompt in workload.prompts)
            place = self._queue.place(workload.caller, num_bytes, is_bounded=True)
        async with place, aclosing(self._answers(workload)) as events:
            async for event in events:
                yield event

    async def _answers(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        endpoint = workload.endpoint
        assert endpoint is not None
        yield Activity(TestRunPhase.LOAD_MODEL)
        self._policy.check(endpoint)
        client, known = await self._open(endpoint)
        facts = known.facts
        if facts.drops_tools and any(offered_tools(endpoint, prompt) for prompt in workload.prompts):
            raise _dropped_tools(endpoint)
        yield Prepared(
            Environment(
                chat_template_digest=facts.chat_template_digest,
                library_versions={"openai": version("openai")},
                endpoint=facts.shown,
            )
        )
        yield Activity(TestRunPhase.GENERATE, 0, min(len(workload.prompts), endpoint.max_concurrency))
        events: _Events = asyncio.Queue()

        async def answer(prompt: Prompt) -> None:
            events.put_nowait(await client.answer(workload, prompt, known.gate, events.put_nowait))

        tasks = [asyncio.create_task(answer(prompt)) for prompt in workload.prompts]
        for task in tasks:
            task.add_done_callback(partial(_tell_failure, events))
        try:
            async for event in _until_answered(events, len(tasks), endpoint.max_concurrency):
                yield event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _open(self, endpoint: Endpoint) -> tuple[EndpointClient, _KnownFacts]:
        # It takes a second to load and a service without endpoints never needs it.
        await asyncio.to_thread(import_module, "openai")
        self._client = self._client or open_client(self._policy.trusted_hosts)
        key = self._policy.key_of(endpoint)
        requests = EndpointRequests(self._client, endpoint, key)
        place = (endpoint.base_url, endpoint.model, endpoint.num_ctx)
        gate = self._gates.setdefault(endpoint.base_url, Gate())
        oldest = time.monotonic() - _FACTS_SECONDS
        self._known = {place: known for place, known in self._known.items() if known.time > oldest}
        known = self._known.get(place)
        # Scales of adapters can be changed while the server runs.
        if known is None or known.facts.adapters:
            known = self._known[place] = _KnownFacts(await facts_of(requests), time.monotonic(), gate)
        server = server_of(requests, known.facts)
        return EndpointClient(self._client, server, known.facts, key, self._tries), known


async def _until_answered(events: _Events, num_prompts: int, limit: int) -> AsyncGenerator[GenerationEvent]:
    num_tokens = 0
    while num_prompts:
        event = await events.get()
        if isinstance(event, BaseException):
            raise event
        yield event
        if isinstance(event, Answer):
            num_prompts -= 1
            num_tokens += event.num_generated_tokens
            yield Activity(TestRunPhase.GENERATE, num_tokens, min(num_prompts, limit))


def _tell_failure(events: _Events, task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        events.put_nowait(error)


def _dropped_tools(endpoint: Endpoint) -> FailedPrecondition:
    return FailedPrecondition(
        f"The server at {endpoint.host} drops the functions that go beside the messages, so that the model never sees "
        "them: its chat template has no place for them (chat_template_caps.supports_tools is false).",
        "Start the server with a chat template that writes functions, or put them into the prompt (tool mode prompt, "
        "in a prompt size that lists them).",
    )
