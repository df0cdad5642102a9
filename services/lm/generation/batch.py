"""The sequences that are decoded together behind one prefix."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import torch
from torch import Tensor

from services.lm.generation.attention import PromptReader, TokenWriter
from services.lm.generation.cache import Prefix, SequenceCache
from services.lm.generation.forward import Forward
from services.lm.generation.requests import GenerationRequest, GenerationResult
from services.lm.generation.sampling import choose, sequence_random
from services.lm.loading import LoadedModel
from services.lm.worker_protocol import FinishReason, Sampling

# Prompt tokens read in one pass: enough to keep the processor busy, few enough to bound memory and waiting.
_MAX_READ_TOKENS: Final = 2048


@dataclass
class _Sequence:
    request: GenerationRequest
    source: random.Random
    tokens: list[int] = field(default_factory=list)
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


class Batch:
    """Reads waiting prompts while there is room, then writes a token for each sequence, step by step."""

    def __init__(
        self,
        forward: Forward,
        loaded: LoadedModel,
        *,
        sampling: Sampling,
        prefix: Prefix | None,
        waiting: Sequence[GenerationRequest],
        num_slots: int,
    ) -> None:
        """All requests begin with the tokens of `prefix`."""
        self._forward, self._loaded, self._sampling = forward, loaded, sampling
        self._prefix, self._prefix_length = prefix, prefix.length if prefix else 0
        self._waiting = deque(waiting)
        self._num_slots = num_slots
        self._running: list[_Sequence] = []
        self._cache = SequenceCache(forward.heads, forward.num_layers, num_slots, forward.dtype)
        self.written = 0

    @property
    def is_busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._running or self._waiting)

    @property
    def active(self) -> int:
        """Sequences being decoded."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Requests not yet begun."""
        return len(self._waiting)

    @torch.no_grad()
    def step(self) -> list[GenerationResult]:
        """One pass: the next prompts if there is room, else one token for each sequence; returns who stopped."""
        joining = self._joining()
        logits = self._read(joining) if joining else self._write()
        count = len(joining) or len(self._running)
        chosen = self._running[-count:]
        tokens = choose(logits, self._sampling, [sequence.source for sequence in chosen])
        for sequence, token in zip(chosen, tokens, strict=True):
            sequence.tokens.append(token)
        self.written += count
        return list(self._leave())

    def _joining(self) -> list[GenerationRequest]:
        """Waiting requests for the free slots, up to the tokens that one pass reads, and at least one."""
        joining: list[GenerationRequest] = []
        tokens = 0
        while self._waiting and len(self._running) + len(joining) < self._num_slots:
            tokens += len(self._waiting[0].prompt_ids) - self._prefix_length
            if joining and tokens > _MAX_READ_TOKENS:
                break
            joining.append(self._waiting.popleft())
        return joining

    def _read(self, joining: list[GenerationRequest]) -> Tensor:
        start = time.perf_counter()
        own = [list(request.prompt_ids[self._prefix_length :]) for request in joining]
        lengths = [len(ids) for ids in own]
        self._cache.join(lengths)
        reader = PromptReader(self._forward.heads, self._prefix, self._cache, lengths)
        positions = torch.cat([torch.arange(length) for length in lengths]) + self._prefix_length
        rows = torch.tensor(lengths).cumsum(0) - 1
        logits = self._forward.logits(torch.tensor([list(chain.from_iterable(own))]), positions[None], reader, rows)
        seconds = (time.perf_counter() - start) / sum(lengths)
        for request, length in zip(joining, lengths, strict=True):
            source = sequence_random(request.seed, request.key)
            self._running.append(_Sequence(request, source, prefill_seconds=seconds * length))
        return logits

    def _write(self) -> Tensor:
        start = time.perf_counter()
        self._cache.reserve(max(self._cache.lengths) + 1)
        writer = TokenWriter(self._forward.heads, self._prefix, self._cache)
        ids = torch.tensor([[sequence.tokens[-1] for sequence in self._running]])
        positions = torch.tensor([self._cache.lengths]) + self._prefix_length
        logits = self._forward.logits(ids, positions, writer, torch.arange(ids.shape[1]))
        self._cache.lengths = [length + 1 for length in self._cache.lengths]
        seconds = (time.perf_counter() - start) / len(self._running)
        for sequence in self._running:
            sequence.decode_seconds += seconds
        return logits

    def _leave(self) -> Iterator[GenerationResult]:
        for slot in reversed(range(len(self._running))):
            sequence = self._running[slot]
            reason = self._finish_reason(sequence)
            if reason:
                self._cache.leave(slot)
                self._running[slot] = self._running[-1]
                self._running.pop()
                yield self._result(sequence, reason)

    def _finish_reason(self, sequence: _Sequence) -> FinishReason | None:
        if sequence.tokens[-1] in self._loaded.eos_ids:
            return "stop"
        return "length" if len(sequence.tokens) >= sequence.request.max_new_tokens else None

    def _result(self, sequence: _Sequence, reason: FinishReason) -> GenerationResult:
        text = self._loaded.tokenizer.decode(
            sequence.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return GenerationResult(
            key=sequence.request.key,
            token_ids=tuple(sequence.tokens),
            text=text,
            finish_reason=reason,
            prompt_tokens=len(sequence.request.prompt_ids),
            cached_tokens=self._prefix_length,
            prefill_seconds=sequence.prefill_seconds,
            decode_seconds=sequence.decode_seconds,
        )
