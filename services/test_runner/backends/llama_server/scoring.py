"""How likely llama.cpp's server finds the tokens of an answer, and whether its last one ends it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from services.chassis.errors import InvalidArgument
from services.test_runner.backends.openai_endpoint.json_values import list_in, mapping_in
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests
from services.test_runner.backends.openai_endpoint.servers import Refused
from services.test_runner.domain.generation import TokenLogProb
from services.test_runner.domain.scoring import AnswerRow, AnswerScore

# The server tells the probability that a token had before this pushed it to choose the token.
_PUSH = 1000.0
# The first question of a row reads its whole prompt.
_READ_SECONDS = 300.0


@dataclass(frozen=True)
class ServerScorer:
    """Scores rows of token ids at a server with `num_slots` slots, of each answer the first `max_tokens` tokens.

    A slot holds `num_context_tokens`.

    `stop` are the texts at which the form ends an answer.
    """

    requests: EndpointRequests
    num_slots: int
    num_context_tokens: int
    max_tokens: int
    stop: tuple[str, ...] = ()

    async def scores(self, rows: Sequence[AnswerRow]) -> AsyncGenerator[AnswerScore]:
        """Yield the scores as they are finished; each slot reads one row at a time, its prompt once.

        Raises:
            NotReached: The server does not answer.
            Refused: It does not take the token ids.
            InvalidArgument: A row is not of token ids.
        """
        _check(rows)
        slots: asyncio.Queue[int] = asyncio.Queue()
        for slot in range(self.num_slots):
            slots.put_nowait(slot)
        tasks = [asyncio.create_task(self._score(slots, place, row)) for place, row in enumerate(rows)]
        try:
            for finished in asyncio.as_completed(tasks):
                yield await finished
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _score(self, slots: asyncio.Queue[int], place: int, row: AnswerRow) -> AnswerScore:
        ids, start = row.token_ids, row.num_prompt_tokens
        # As weights do with what is longer than their context, nothing of it is scored.
        if len(ids) > self.num_context_tokens:
            return AnswerScore(place, ids, start, (), ends_turn=True)
        slot = await slots.get()
        try:
            end = min(len(ids), start + self.max_tokens)
            tokens = [await self._token(slot, ids[:index], ids[index]) for index in range(start, end)]
            reply = await self._complete(slot, ids[:-1], ids[-1], n_predict=2, stop=list(self.stop))
            ends_turn = reply.get("stop_type") in ("eos", "word")
        finally:
            slots.put_nowait(slot)
        return AnswerScore(place, ids, start, tuple(tokens), ends_turn)

    async def _token(self, slot: int, before: tuple[int, ...], token_id: int) -> TokenLogProb:
        reply = await self._complete(slot, before, token_id, n_probs=1)
        entries = list_in(reply.get("completion_probabilities"))
        entry = mapping_in(entries[0]) if entries else {}
        # It does not tell the probability of half a character.
        is_told = entry.get("id") == token_id and isinstance(entry.get("logprob"), int | float)
        return TokenLogProb(str(entry.get("token", "")), token_id, float(entry["logprob"]) if is_told else None)

    async def _complete(self, slot: int, before: tuple[int, ...], token_id: int, **more: Any) -> dict[str, Any]:
        body = {
            "prompt": list(before),
            "n_predict": 1,
            "logit_bias": [[token_id, _PUSH]],
            "temperature": 0,
            "cache_prompt": True,
            "id_slot": slot,
            **more,
        }
        reply = await self.requests.post("/completion", body, seconds=_READ_SECONDS)
        if not reply.succeeded:
            raise Refused(reply)
        return dict(reply.body)


def _check(rows: Sequence[AnswerRow]) -> None:
    for place, row in enumerate(rows):
        if not row.token_ids:
            raise InvalidArgument(
                f"The row {place} is a conversation, and a GGUF form scores token ids alone.",
                "Score it by the version that the form was made from, and send the token ids that come back.",
                field=f"rows[{place}]",
            )
