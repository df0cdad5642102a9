"""The sequences that are decoded together behind one prefix."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from typing import Any, Final

import torch
from torch import Tensor

from services.lm.generation.attention import PromptReader, SequenceCache, TokenWriter
from services.lm.generation.constraint import Constraint, held_to
from services.lm.generation.forward import Forward
from services.lm.generation.requests import GenerationRequest, GenerationResult, Piece, ResultOptions, TokenScores
from services.lm.generation.sampling import choose
from services.lm.generation.scores import drawn_log_probs, score
from services.lm.generation.segments import Chain, Reader
from services.lm.generation.sequence import Lookup, SequenceState, draft_length, run_ends
from services.lm.loading import LoadedModel
from services.lm.worker_protocol import Sampling

# Prompt tokens read in one pass: enough to keep the processor busy, few enough to bound memory and waiting.
_MAX_READ_TOKENS: Final = 2048


@dataclass(frozen=True)
class Task:
    """A request, and where the segments end that it has behind the batch's shared ones."""

    request: GenerationRequest
    own_ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class CallSettings:
    """What holds for every sequence of a call; `constraints` are by the keys of the requests that have one."""

    loaded: LoadedModel
    sampling: Sampling
    options: ResultOptions
    start: float
    constraints: Mapping[str, Constraint] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """What a pass brought."""

    results: tuple[GenerationResult, ...]
    pieces: tuple[Piece, ...]


class Batch:
    """Reads waiting prompts while there is room, then writes for each sequence, step by step."""

    def __init__(
        self,
        forward: Forward,
        call: CallSettings,
        *,
        reader: Reader,
        shared: Chain,
        waiting: Sequence[Task],
        num_slots: int,
    ) -> None:
        """All requests begin with the tokens of `shared`; `reader` reads what some of them share besides."""
        self._forward, self._call, self._reader, self._shared = forward, call, reader, shared
        self._waiting = deque(waiting)
        self._shared_runs = run_ends(waiting[0].request.prompt_ids, 0, shared.length)
        self._num_slots = num_slots
        self._running: list[SequenceState] = []
        most = max(task.request.num_tokens for task in waiting) - shared.length
        self._cache = SequenceCache(forward.heads, forward.num_layers, num_slots, most, forward.dtype, forward.device)
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
        """Requests not yet beginning."""
        return len(self._waiting)

    @torch.no_grad()
    def step(self) -> Step:
        """One pass: the next prompts if there is room, else the next tokens of each sequence."""
        joining = self._joining()
        if joining:
            before = len(self._running)
            logits = self._read(joining)
            self._take(self._running[before:], logits, [[]] * len(joining))
        else:
            self._write()
        changed = self._running[-len(joining) :] if joining else self._running
        pieces = tuple(sequence.piece() for sequence in changed) if self._call.options.on_piece else ()
        return Step(tuple(self._leave()), pieces)

    def _joining(self) -> list[Task]:
        """Waiting requests for the free slots, up to the tokens that one pass reads, and at least one."""
        joining: list[Task] = []
        tokens = 0
        while self._waiting and len(self._running) + len(joining) < self._num_slots:
            task = self._waiting[0]
            tokens += len(task.request.prompt_ids) - (task.own_ends[-1] if task.own_ends else self._shared.length)
            if joining and tokens > _MAX_READ_TOKENS:
                break
            joining.append(self._waiting.popleft())
        return joining

    def _read(self, joining: list[Task]) -> Tensor:
        start = time.perf_counter()
        chains = self._reader.extend(self._shared, [(task.request.prompt_ids, task.own_ends) for task in joining])
        self._join(joining, chains)
        own = [task.request.prompt_ids[beginning.length :] for task, beginning in zip(joining, chains, strict=True)]
        reader = PromptReader(self._forward.heads, self._shared.shared, self._cache, [len(ids) for ids in own])
        spans = zip(chains, own, strict=True)
        places = chain.from_iterable(range(beginning.length, beginning.length + len(ids)) for beginning, ids in spans)
        rows = self._tensor(list(accumulate(map(len, own)))) - 1
        ids, positions = self._tensor([[*chain.from_iterable(own)]]), self._tensor([[*places]])
        logits = self._forward.logits(ids, positions, reader, rows)
        self._begin(joining, chains, start)
        return logits

    def _join(self, joining: list[Task], chains: list[Chain]) -> None:
        """Give each a slot, and copy there what it has behind the shared part."""
        first = len(self._cache.lengths)
        self._cache.join([len(task.request.prompt_ids) - self._shared.length for task in joining])
        for slot, beginning in enumerate(chains, first):
            start = 0
            for segment in beginning.segments:
                self._cache.fill(slot, start, segment.layers)
                start += segment.length

    def _begin(self, joining: list[Task], chains: list[Chain], start: float) -> None:
        loaded, options = self._call.loaded, self._call.options
        computed = [
            len(task.request.prompt_ids) - beginning.held for task, beginning in zip(joining, chains, strict=True)
        ]
        seconds = (time.perf_counter() - start) / sum(computed)
        for task, beginning, tokens in zip(joining, chains, computed, strict=True):
            follows_text = options.on_piece is not None
            lookup = Lookup(task.request.prompt_ids, self._shared_runs, self._shared.length)
            sequence = SequenceState(
                task.request,
                loaded.tokenizer,
                loaded.eos_ids,
                follows_text=follows_text,
                lookup=lookup,
                constraint=self._call.constraints.get(task.request.key),
            )
            sequence.times.queue = start - self._call.start
            sequence.times.prefill = seconds * tokens
            sequence.cached = beginning.held
            self._running.append(sequence)

    def _write(self) -> None:
        start = time.perf_counter()
        guesses = draft_length(len(self._running))
        drafts = [sequence.draft(guesses) for sequence in self._running]
        counts = [1 + len(draft) for draft in drafts]
        lengths = self._cache.lengths
        self._cache.reserve(max(length + count for length, count in zip(lengths, counts, strict=True)))
        writer = TokenWriter(self._forward.heads, self._shared.shared, self._cache, counts)
        pairs = zip(self._running, drafts, strict=True)
        ids = self._tensor([[token for sequence, draft in pairs for token in (sequence.tokens[-1], *draft)]])
        positions = writer.positions[None] + self._shared.length
        logits = self._forward.logits(ids, positions, writer, self._tensor(range(ids.shape[1])))
        num_taken = self._take(self._running, logits, drafts)
        self._cache.lengths = [length + count for length, count in zip(lengths, num_taken, strict=True)]
        seconds = (time.perf_counter() - start) / len(self._running)
        for sequence in self._running:
            sequence.times.decode += seconds

    def _tensor(self, numbers: Sequence[Any]) -> Tensor:
        return torch.tensor(numbers, device=self._forward.device)

    def _take(self, sequences: list[SequenceState], logits: Tensor, drafts: Sequence[list[int]]) -> list[int]:
        """Choose for each row and give each sequence its tokens; how many each took."""
        sampling, options = self._call.sampling, self._call.options
        pairs = list(zip(sequences, drafts, strict=True))
        draws = [] if sampling.temperature == 0 else [d for s, draft in pairs for d in s.draws.next(1 + len(draft))]
        edges = [*accumulate((1 + len(draft) for draft in drafts), initial=0)]
        held = held_to(logits, [sequence.constraint for sequence in sequences], edges)
        choices = choose(held, sampling, draws)
        drawn = drawn_log_probs(logits, choices, sampling) if options.drawn_log_probs else []
        num_taken = []
        for (sequence, draft), (first, end) in zip(pairs, pairwise(edges), strict=True):
            count = sequence.take(choices[first:end], draft)
            num_taken.append(count)
            if drawn:
                sequence.score(TokenScores(tuple(drawn[first : first + count])))
            elif options.scores:
                tokenizer = self._call.loaded.tokenizer
                sequence.score(score(tokenizer, logits[first:], choices[first : first + count], options.num_top))
        self.written += sum(num_taken)
        return num_taken

    def _leave(self) -> list[GenerationResult]:
        results = []
        for slot in reversed(range(len(self._running))):
            sequence = self._running[slot]
            if sequence.reason:
                self._cache.leave(slot)
                self._running[slot] = self._running[-1]
                self._running.pop()
                results.append(sequence.result())
        return results
