"""Our side: the engine in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import LoadedModel
from tests.bench.testing.workload import Workload


class Ours:
    """Answers a workload; `cold` begins each time with an engine that holds nothing."""

    def __init__(self, loaded: LoadedModel, work: Workload, max_batch: int) -> None:
        """Read the shared prompt once."""
        self._loaded, self._max_batch = loaded, max_batch
        self._requests = [GenerationRequest(str(index), ids, work.max_new_tokens) for index, ids in enumerate(work.ids)]
        self._engine = Engine(loaded)
        self.answers: list[list[int]] = []
        first = self._requests[:2]
        list(self._engine.generate([replace(request, max_new_tokens=1) for request in first]))

    def warm(self) -> float:
        """Cases per second with the shared prompt in memory."""
        return self._run(self._engine)

    def cold(self) -> float:
        """Cases per second with everything computed, weights packed included."""
        return self._run(None)

    def _run(self, engine: Engine | None) -> float:
        start = time.perf_counter()
        chosen = engine or Engine(self._loaded)
        results = {result.key: result for result in chosen.generate(self._requests, max_batch=self._max_batch)}
        seconds = time.perf_counter() - start
        self.answers = [list(results[request.key].token_ids) for request in self._requests]
        return len(self._requests) / seconds


def same_share(ours: Sequence[Sequence[int]], peers: Sequence[Sequence[int]], ends: frozenset[int]) -> float:
    """The share of equal answers, compared up to the end-of-turn token."""
    pairs = list(zip(ours, peers, strict=True))
    return sum(_until_end(one, ends) == _until_end(other, ends) for one, other in pairs) / len(pairs)


def same_share_of_length(ours: Sequence[Sequence[int]], peers: Sequence[Sequence[int]], ends: frozenset[int]) -> float:
    """As `same_share`, for a peer that was told to write on where ours ended: it has another token in that place."""
    cut = [list(other[: len(_until_end(one, ends))]) for one, other in zip(ours, peers, strict=True)]
    return same_share(ours, cut, ends)


def _until_end(tokens: Sequence[int], ends: frozenset[int]) -> list[int]:
    place = next((index for index, token in enumerate(tokens) if token in ends), len(tokens))
    return list(tokens[:place])
