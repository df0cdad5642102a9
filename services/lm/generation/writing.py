"""One sequence while it is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from services.lm.generation.requests import GenerationRequest, GenerationResult, Piece, TokenScores
from services.lm.generation.sampling import Draws
from services.lm.generation.speculation import Lookup
from services.lm.generation.text import Transcript, answer_text
from services.lm.worker_protocol import FinishReason


@dataclass
class Times:
    """Seconds of a sequence: waiting, and its shares of reading and writing."""

    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0


@dataclass
class _Unsent:
    """What was written since the last piece."""

    tokens: list[int] = field(default_factory=list)
    scores: TokenScores = field(default_factory=TokenScores)


class Writing:
    """Takes what is chosen for it until it stops; then `reason` says why."""

    def __init__(
        self,
        request: GenerationRequest,
        tokenizer: PreTrainedTokenizerBase,
        closing: Collection[int],
        *,
        follows_text: bool,
        lookup: Lookup | None = None,
    ) -> None:
        """`closing` are the end-of-turn tokens; with `follows_text` the text is known at each step."""
        self.request, self._tokenizer, self._closing = request, tokenizer, closing
        self.draws = Draws(request.seed, request.key)
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        self.times = Times()
        self.cached = 0
        self._lookup = lookup or Lookup(request.prompt_ids)
        needs_text = follows_text or bool(request.stop)
        self._transcript = Transcript(tokenizer, request.stop, request.prompt_ids) if needs_text else None
        self._scores = self.prompt_scores = TokenScores()
        self._unsent = _Unsent()

    def draft(self, count: int) -> list[int]:
        """Guesses for the tokens after the next one, as many as could still be written."""
        room = min(count, self.request.max_new_tokens - len(self.tokens) - 1)
        return self._lookup.draft(room) if room > 0 else []

    def take(self, chosen: Sequence[int], draft: Sequence[int]) -> int:
        """Take the first chosen token, and the next ones while the one before was guessed right; how many it took.

        Each of `chosen` was computed on the assumption that those of `draft` before it are right.
        """
        count = 0
        while self.reason is None and (count == 0 or (count <= len(draft) and chosen[count - 1] == draft[count - 1])):
            self._add(chosen[count])
            count += 1
        self.draws.taken(count)
        return count

    def score(self, scores: TokenScores) -> None:
        """What the model thought of the tokens just taken."""
        self._scores += scores
        self._unsent.scores += scores

    def piece(self) -> Piece:
        """What it got since the last piece."""
        text = self._transcript.take(is_last=self.reason is not None) if self._transcript else ""
        unsent, self._unsent = self._unsent, _Unsent()
        return Piece(self.request.key, text, tuple(unsent.tokens), unsent.scores)

    def result(self) -> GenerationResult:
        """The finished sequence."""
        return GenerationResult(
            key=self.request.key,
            token_ids=tuple(self.tokens),
            text=self._text(),
            finish_reason=self.reason or "length",
            prompt_tokens=len(self.request.prompt_ids),
            cached_tokens=self.cached,
            prefill_seconds=self.times.prefill,
            decode_seconds=self.times.decode,
            queue_seconds=self.times.queue,
            scores=self._scores,
            prompt_scores=self.prompt_scores,
        )

    def _add(self, token: int) -> None:
        self.tokens.append(token)
        self._unsent.tokens.append(token)
        self._lookup.add(token)
        if self._transcript:
            self._transcript.add(token)
        if token in self._closing or (self._transcript and self._transcript.is_stopped):
            self.reason = "stop"
        elif len(self.tokens) >= self.request.max_new_tokens:
            self.reason = "length"
        if self.reason and self._transcript:
            self._transcript.finish()

    def _text(self) -> str:
        if self._transcript:
            return self._transcript.text
        return answer_text(self._tokenizer, self.request.prompt_ids, self.tokens)
