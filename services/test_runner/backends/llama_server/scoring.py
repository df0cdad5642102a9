"""How likely llama.cpp's server finds the tokens of an answer, and whether its last one ends it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.chassis.errors import InvalidArgument
from services.test_runner.backends.openai_endpoint.json_values import list_in, mapping_in
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests, NotReached
from services.test_runner.backends.openai_endpoint.servers import Refused
from services.test_runner.domain.generation import TokenLogProb
from services.test_runner.domain.scoring import AnswerRow, AnswerScore

# The server tells the probability that a token had before this pushed it to choose the token.
_PUSH = 1000.0
_GREEDY: Mapping[str, Any] = {"temperature": 0, "cache_prompt": True}
# The first question of a row reads its whole prompt.
_READ_SECONDS = 300.0
# So many tokens are written within the time of one question, where a processor writes one in two seconds.
_NUM_AT_ONCE = 128


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
            tokens = await self._tokens(slot, ids, start, end)
            reply = await self._complete(slot, ids[:-1], ids[-1], n_predict=2, stop=list(self.stop))
            ends_turn = reply.get("stop_type") in ("eos", "word")
        finally:
            slots.put_nowait(slot)
        return AnswerScore(place, ids, start, tuple(tokens), ends_turn)

    async def _tokens(self, slot: int, ids: tuple[int, ...], start: int, end: int) -> list[TokenLogProb]:
        """Return the scores of the tokens from `start` to `end`; the last is asked alone, since it may end the turn."""
        inner, tokens = max(start, end - 1), list[TokenLogProb]()
        for first in range(start, inner, _NUM_AT_ONCE):
            last = min(inner, first + _NUM_AT_ONCE)
            piece = await self._at_once(slot, ids[:first], ids[first:last])
            if piece is None:
                piece = [await self._token(slot, ids[:index], ids[index]) for index in range(first, last)]
            tokens += piece
        return tokens + [await self._token(slot, ids[:index], ids[index]) for index in range(inner, end)]

    async def _at_once(self, slot: int, before: tuple[int, ...], ids: tuple[int, ...]) -> list[TokenLogProb] | None:
        """Return the scores of tokens that a grammar has the server write one after the other; None where it cannot.

        It cannot where one is half a character or ends a turn, an older server knows no such grammar, and a slow one
        has not done in time.
        """
        grammar = "root ::= " + " ".join(f"<[{token_id}]>" for token_id in ids)
        body = {"prompt": list(before), "n_predict": len(ids), "grammar": grammar, "n_probs": 1, "id_slot": slot}
        try:
            reply = await self.requests.post("/completion", {**body, **_GREEDY}, seconds=_READ_SECONDS)
        except NotReached:
            return None
        entries = list(map(mapping_in, list_in(reply.body.get("completion_probabilities")))) if reply.succeeded else []
        if [entry.get("id") for entry in entries] != list(ids):
            return None
        return [_score_of(entry, token_id) for entry, token_id in zip(entries, ids, strict=True)]

    async def _token(self, slot: int, before: tuple[int, ...], token_id: int) -> TokenLogProb:
        reply = await self._complete(slot, before, token_id, n_probs=1)
        entries = list_in(reply.get("completion_probabilities"))
        return _score_of(mapping_in(entries[0]) if entries else {}, token_id)

    async def _complete(self, slot: int, before: tuple[int, ...], token_id: int, **more: Any) -> dict[str, Any]:
        body = {
            "prompt": list(before),
            "n_predict": 1,
            "logit_bias": [[token_id, _PUSH]],
            "id_slot": slot,
            **_GREEDY,
            **more,
        }
        reply = await self.requests.post("/completion", body, seconds=_READ_SECONDS)
        if not reply.succeeded:
            raise Refused(reply)
        return dict(reply.body)


def _score_of(entry: Mapping[str, Any], token_id: int) -> TokenLogProb:
    # It does not tell the probability of half a character.
    is_told = entry.get("id") == token_id and isinstance(entry.get("logprob"), int | float)
    return TokenLogProb(str(entry.get("token", "")), token_id, float(entry["logprob"]) if is_told else None)


def _check(rows: Sequence[AnswerRow]) -> None:
    for place, row in enumerate(rows):
        if not row.token_ids:
            raise InvalidArgument(
                f"The row {place} is a conversation, and a GGUF form scores token ids alone.",
                "Score it by the version that the form was made from, and send the token ids that come back.",
                field=f"rows[{place}]",
            )
