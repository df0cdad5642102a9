"""Many prompts answered together: what they share is read once, who stops leaves, and who waits joins."""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final

import torch

from services.lm.decoder.whole import why_whole
from services.lm.errors import InvalidChat, LimitExceeded
from services.lm.generation import lanes
from services.lm.generation.attention import SequenceCache
from services.lm.generation.batch import Batch, CallSettings, Task
from services.lm.generation.constraint import Constraints
from services.lm.generation.forward import Forward, forward_of
from services.lm.generation.grouping import by_length, common_length, deeper_ends, group_prompts, turn_ends
from services.lm.generation.plain import answer_plainly
from services.lm.generation.requests import GenerationRequest, GenerationResult, ResultOptions, TokenScores
from services.lm.generation.scores import echo_scores, read_prefix
from services.lm.generation.segments import Chain, Reader, SegmentCache
from services.lm.loading import LoadedModel
from services.lm.worker_protocol import Sampling

DEFAULT_MAX_BATCH: Final = 64
_log = logging.getLogger(__name__)

# Called after each pass with the tokens written so far, the sequences in the batch and those waiting; False ends it.
OnStep = Callable[[int, int, int], bool]


class Engine:
    """Answers prompts with one model; what prompts begin with stays in memory between calls.

    The model may be one in training, its adapter not merged: each call to `generate` takes the present values. Call it
    between optimiser steps, with the model in `eval()`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_batch: int = DEFAULT_MAX_BATCH,
        prefix_cache_bytes: int = 1 << 29,
        sequence_cache_bytes: int = 1 << 31,
    ) -> None:
        """Bounds: sequences decoded at once, memory of beginnings between calls, memory of the sequences of a batch."""
        self._loaded = loaded
        self._max_batch = max_batch
        self._segments = SegmentCache(prefix_cache_bytes)
        self._sequence_cache_bytes = sequence_cache_bytes
        self._has_adapter = any("lora_" in name for name, _ in loaded.model.named_parameters())
        # Those of a model in training are others at each call.
        self._changes = self._has_adapter or any(weight.requires_grad for weight in loaded.model.parameters())
        self._forward: Forward | None = None
        self._constraints = Constraints(loaded)

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling | None = None,
        *,
        max_batch: int = 0,
        on_step: OnStep = lambda tokens, active, waiting: True,
        options: ResultOptions | None = None,
    ) -> Iterator[GenerationResult]:
        """The results as they finish. Requests that can't fit are answered first, before anything is computed.

        The answers are a function of the arguments, the weights and the number of threads: what is computed together
        follows the prompts and the token counts, and what is held in memory has the bits that computing it again
        gives. In another company a request's answer is the same up to the rounding of the processor's products.
        `max_batch` replaces the engine's for this call.

        Raises:
            InvalidChat: A prompt is empty, two requests have one key, or a schema cannot be followed.
            LimitExceeded: One sequence alone needs more memory than `sequence_cache_bytes`.
        """
        constraints = {each.key: self._constraints.of(each.json_schema) for each in requests if each.json_schema}
        start = time.perf_counter()
        call = CallSettings(self._loaded, sampling or Sampling(), options or ResultOptions(), start, constraints)
        _check(requests, fewest_tokens=0 if call.options.echo else 1)
        room = self._loaded.max_positions
        fitting = [request for request in requests if request.num_tokens <= room]
        yield from (_overflow(request, room) for request in requests if request.num_tokens > room)
        forward = self._current_forward(max((request.num_tokens for request in fitting), default=0))
        if forward is None:
            yield from answer_plainly(call, fitting, on_step)
            return
        echoes = self._echoes(forward, call, fitting)
        for request in fitting:
            if not request.max_new_tokens:
                count = len(request.prompt_ids)
                yield GenerationResult(request.key, (), "", "length", count, prompt_scores=echoes[request.key])
        open_requests = [request for request in fitting if request.max_new_tokens]
        for result in self._answer(forward, call, open_requests, max_batch or self._max_batch, on_step):
            yield replace(result, prompt_scores=echoes[result.key]) if echoes else result

    def _echoes(
        self, forward: Forward, call: CallSettings, requests: list[GenerationRequest]
    ) -> dict[str, TokenScores]:
        if not call.options.echo:
            return {}
        tokenizer, num_top = self._loaded.tokenizer, call.options.num_top
        # What all begin with, and nobody wants scores of, is read once.
        shared = common_length([request.prompt_ids[: request.echo_from] for request in requests])
        prefix = read_prefix(forward, requests[0].prompt_ids, shared - 1) if len(requests) > 1 and shared > 1 else None
        return {
            request.key: echo_scores(
                forward, tokenizer, request.prompt_ids, num_top, first=max(1, request.echo_from), prefix=prefix
            )
            for request in requests
        }

    def _answer(
        self, forward: Forward, call: CallSettings, requests: list[GenerationRequest], max_batch: int, on_step: OnStep
    ) -> Iterator[GenerationResult]:
        before = 0
        left = len(requests)
        for members, shared_ends, num_slots in self._batches(forward, requests, max_batch):
            left -= len(members)
            written: dict[int, int] = {}
            others: dict[int, tuple[int, int]] = {}
            with closing(self._run(forward, call, members, shared_ends, num_slots)) as updates:
                for update in updates:
                    written[update.lane] = update.written
                    others[update.lane] = update.active, update.waiting
                    if call.options.on_piece:
                        for piece in update.step.pieces:
                            call.options.on_piece(piece)
                    yield from update.step.results
                    active, waiting = (sum(counts) for counts in zip(*others.values(), strict=True))
                    if not on_step(before + sum(written.values()), active, left + waiting):
                        return
            before += sum(written.values())

    def _batches(
        self, forward: Forward, requests: list[GenerationRequest], max_batch: int
    ) -> list[tuple[list[GenerationRequest], list[int], int]]:
        """What is computed together, where its shared segments end, and for how many at once there is memory.

        Long requests stand apart where they would take the memory of many short ones.
        """
        per_token = SequenceCache.token_bytes(forward.heads, forward.num_layers, forward.dtype)
        room = self._sequence_cache_bytes // per_token
        batches = []
        for group in group_prompts([request.prompt_ids for request in requests]):
            ends = self._shared_ends([requests[index] for index in group.indices], group.prefix_length)
            own = {index: requests[index].num_tokens - (ends[-1] if ends else 0) for index in group.indices}
            longest = max(own.values())
            if longest > room:
                raise LimitExceeded(
                    f"A sequence of {longest} own tokens needs {per_token * longest} bytes.",
                    "Ask for fewer new tokens or allow more memory.",
                )
            for part in by_length(own, room, max_batch):
                num_slots = min(room // max(own[index] for index in part), max_batch)
                batches.append(([requests[index] for index in part], ends, num_slots))
        return batches

    def _run(
        self,
        forward: Forward,
        call: CallSettings,
        members: list[GenerationRequest],
        shared_ends: list[int],
        num_slots: int,
    ) -> Generator[lanes.LaneUpdate]:
        plan = lanes.LanePlan.of(torch.get_num_threads(), forward.device)
        tasks = self._tasks(members, shared_ends[-1] if shared_ends else 0)
        together = Reader(forward, self._segments, torch.get_num_threads())
        shared = together.extend(Chain(), [(members[0].prompt_ids, shared_ends)])[0].joined()
        tasks_by_lane = lanes.divide(tasks, min(plan.lanes_for(len(tasks)), num_slots), shared.length)
        reader = Reader(forward, self._segments, plan.num_threads, plan.num_lanes // len(tasks_by_lane))
        slots = num_slots // len(tasks_by_lane)
        makers = [
            partial(Batch, forward, call, reader=reader, shared=shared, waiting=lane, num_slots=min(slots, len(lane)))
            for lane in tasks_by_lane
        ]
        return lanes.run(makers, plan.num_threads)

    def _shared_ends(self, members: list[GenerationRequest], prefix_length: int) -> list[int]:
        """Where the segments end that all members share; what is left behind the last turn is one more."""
        ends = turn_ends(members[0].prompt_ids, self._loaded.eos_ids, prefix_length)
        last = ends[-1] if ends else 0
        if prefix_length > last and not any(member.is_continued for member in members):
            ends.append(prefix_length)
        return ends

    def _tasks(self, members: list[GenerationRequest], start: int) -> list[Task]:
        """Each with its own segments: turn by turn if it is to be continued or alone, else what some share."""
        if start and not any(member.is_continued for member in members):
            shared = deeper_ends([member.prompt_ids for member in members], start)
            return [Task(member, ends) for member, ends in zip(members, shared, strict=True)]
        closing_ids = self._loaded.eos_ids
        return [
            Task(member, tuple(turn_ends(member.prompt_ids, closing_ids, len(member.prompt_ids) - 1, start)))
            for member in members
        ]

    def _current_forward(self, longest: int) -> Forward | None:
        """How to compute, or None where transformers alone knows how; packed weights are kept."""
        reason = why_whole(self._loaded.model, longest)
        if reason:
            _log.warning("answered without a shared prefix, one by one: %s", reason)
            return None
        if self._changes:
            self._segments.clear()
        if self._forward is None or self._has_adapter:
            self._forward = forward_of(self._loaded.model)
        if self._forward is None:
            _log.warning("answered without a shared prefix, one by one: its layers attend in different forms")
            return None
        with torch.no_grad():
            self._forward.refresh()
        return self._forward


def _check(requests: Sequence[GenerationRequest], fewest_tokens: int) -> None:
    if any(not request.prompt_ids for request in requests):
        raise InvalidChat("A prompt is empty.", "Give each request at least one token.")
    if any(request.max_new_tokens < fewest_tokens for request in requests):
        raise InvalidChat("A request asks for no new token.", "Ask for at least one.")
    if len({request.key for request in requests}) != len(requests):
        raise InvalidChat("Two requests have one key.", "Give each request its own key.")


def _overflow(request: GenerationRequest, room: int) -> GenerationResult:
    prompt = len(request.prompt_ids)
    detail = (
        f"The prompt has {prompt} tokens and {request.max_new_tokens} new ones were asked for; the model holds {room}."
    )
    return GenerationResult(request.key, (), "", "context_overflow", prompt, detail=detail)
