"""The scores of llama.cpp's server where an answer is long, and where the server is slow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from services.test_runner.backends.llama_server.scoring import ServerScorer
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests, NotReached, Reply
from services.test_runner.domain.scoring import AnswerRow

PROMPT, ANSWER = (1, 2, 3), tuple(range(10, 310))


class FakeRequests(EndpointRequests):
    """A server that finds each token as likely as its id is low; a slow one is silent when many are asked at once."""

    def __init__(self, *, is_slow: bool) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self._is_slow = is_slow

    async def post(self, path: str, body: Mapping[str, Any], *, seconds: float = 0.0) -> Reply:
        self.asked.append(body)
        if self._is_slow and "grammar" in body:
            raise NotReached(f"it was silent for {seconds:.0f} s")
        start, num = len(body["prompt"]), body["n_predict"] if "grammar" in body else 1
        ids = (PROMPT + ANSWER)[start : start + num]
        return Reply(200, {"completion_probabilities": [{"id": one, "logprob": -float(one)} for one in ids]})


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_long_answer_is_scored_in_pieces_and_by_a_slow_server_token_by_token(is_slow: bool) -> None:
    requests = FakeRequests(is_slow=is_slow)
    row = AnswerRow(token_ids=PROMPT + ANSWER, num_prompt_tokens=len(PROMPT))
    scorer = ServerScorer(requests, num_slots=1, num_context_tokens=512, max_tokens=512)
    (score,) = [score async for score in scorer.scores([row])]
    assert [(token.token_id, token.log_prob) for token in score.tokens] == [(one, -float(one)) for one in ANSWER]
    pieces = [(len(body["prompt"]), body["n_predict"]) for body in requests.asked if "grammar" in body]
    assert pieces == [(3, 128), (131, 128), (259, 43)]
    # The last token and how it ends are asked alone.
    assert len(requests.asked) == 3 + 2 + is_slow * (len(ANSWER) - 1)
