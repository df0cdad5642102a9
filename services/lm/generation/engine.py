"""Many prompts answered together: the shared prefix once, a sequence leaves when it stops, a waiting one joins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import torch

from services.lm.errors import InvalidChat, LimitExceeded
from services.lm.generation.attention import PrefixReader
from services.lm.generation.batch import Batch
from services.lm.generation.cache import Prefix, PrefixCache, SequenceCache
from services.lm.generation.forward import Forward, forward_of
from services.lm.generation.grouping import Group, group_prompts
from services.lm.generation.requests import GenerationRequest, GenerationResult
from services.lm.loading import LoadedModel
from services.lm.worker_protocol import Sampling

DEFAULT_MAX_BATCH: Final = 64

# Called after each pass with the tokens written so far, the sequences in the batch and those waiting; False ends it.
OnStep = Callable[[int, int, int], bool]


class Engine:
    """Answers prompts with one model; prefixes stay in memory between calls.

    The model may be a PEFT model in training, its adapter not merged: each call to `generate` takes the adapter's
    present values. Call it between optimiser steps, with the model in `eval()`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_batch: int = DEFAULT_MAX_BATCH,
        prefix_cache_bytes: int = 1 << 29,
        sequence_cache_bytes: int = 1 << 31,
    ) -> None:
        """Bounds: sequences decoded at once, memory of prefixes between calls, memory of the sequences of a batch."""
        self._loaded = loaded
        self._max_batch = max_batch
        self._prefixes = PrefixCache(prefix_cache_bytes)
        self._sequence_cache_bytes = sequence_cache_bytes
        self._has_adapter = any("lora_" in name for name, _ in loaded.model.named_parameters())

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling | None = None,
        *,
        max_batch: int = 0,
        on_step: OnStep = lambda tokens, active, waiting: True,
    ) -> Iterator[GenerationResult]:
        """The results as they finish. Requests that can't fit are answered first, before anything is computed.

        Greedy and sampled answers are the same however requests are batched, up to the rounding of the processor's
        products. `max_batch` replaces the engine's for this call.

        Raises:
            InvalidChat: A prompt is empty, or two requests have one key.
            LimitExceeded: One sequence alone needs more memory than `sequence_cache_bytes`.
        """
        _check(requests)
        fitting = []
        for request in requests:
            if len(request.prompt_ids) + request.max_new_tokens > self._loaded.max_positions:
                yield _overflow(request, self._loaded.max_positions)
            else:
                fitting.append(request)
        forward = forward_of(self._loaded.model)
        if self._has_adapter:
            self._prefixes.clear()
        with torch.no_grad():
            forward.refresh()
        yield from self._answer(forward, fitting, sampling or Sampling(), (max_batch or self._max_batch, on_step))

    def _answer(
        self, forward: Forward, requests: list[GenerationRequest], sampling: Sampling, bounds: tuple[int, OnStep]
    ) -> Iterator[GenerationResult]:
        groups = group_prompts([request.prompt_ids for request in requests])
        left, written = len(requests), 0
        max_batch, on_step = bounds
        for group in groups:
            members = [requests[index] for index in group.indices]
            left -= len(members)
            prefix = self._prefix(forward, members[0], group)
            slots = min(max_batch, len(members), self._slots(forward, members, group))
            batch = Batch(forward, self._loaded, sampling=sampling, prefix=prefix, waiting=members, num_slots=slots)
            while batch.is_busy:
                yield from batch.step()
                if not on_step(written + batch.written, batch.active, left + batch.num_waiting):
                    return
            written += batch.written

    def _prefix(self, forward: Forward, request: GenerationRequest, group: Group) -> Prefix | None:
        if not group.prefix_length:
            return None
        ids = request.prompt_ids[: group.prefix_length]
        held = self._prefixes.get(ids)
        if held is None:
            reader = PrefixReader(forward.heads, len(ids))
            with torch.no_grad():
                positions = torch.arange(len(ids))[None]
                forward.logits(torch.tensor([list(ids)]), positions, reader, torch.tensor([len(ids) - 1]))
            held = reader.prefix()
            self._prefixes.put(ids, held)
        return held

    def _slots(self, forward: Forward, requests: list[GenerationRequest], group: Group) -> int:
        longest = max(len(request.prompt_ids) + request.max_new_tokens for request in requests) - group.prefix_length
        per_token = SequenceCache.token_bytes(forward.heads, forward.num_layers, forward.dtype)
        slots = self._sequence_cache_bytes // (per_token * longest)
        if slots < 1:
            raise LimitExceeded(
                f"A sequence of {longest} own tokens needs {per_token * longest} bytes.",
                "Ask for fewer new tokens or allow more memory.",
            )
        return int(slots)


def _check(requests: Sequence[GenerationRequest]) -> None:
    if any(not request.prompt_ids for request in requests):
        raise InvalidChat("A prompt is empty.", "Give each request at least one token.")
    if any(request.max_new_tokens < 1 for request in requests):
        raise InvalidChat("A request asks for no new token.", "Ask for at least one.")
    if len({request.key for request in requests}) != len(requests):
        raise InvalidChat("Two requests have one key.", "Give each request its own key.")


def _overflow(request: GenerationRequest, room: int) -> GenerationResult:
    prompt = len(request.prompt_ids)
    detail = (
        f"The prompt has {prompt} tokens and {request.max_new_tokens} new ones were asked for; the model holds {room}."
    )
    return GenerationResult(request.key, (), "", "context_overflow", prompt, 0, 0.0, 0.0, detail)
