"""What is asked of the engine and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.lm.worker_protocol import FinishReason, TopLogProbs


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt to continue; `key` names it, and with `seed` it fixes what is sampled.

    Attributes:
        max_new_tokens: At least 1; 0 only where the prompt's log-probabilities are options.
        stop: Texts; the answer ends before the first of them.
        is_continued: Its turns are held apart in memory, so that a later prompt which begins like it continues there.
        echo_from: Place of the first of the prompt's tokens whose score is wanted, where prompts are echoed.
        json_schema: The answer is JSON that fits it; empty for any text.
    """

    key: str
    prompt_ids: Sequence[int]
    max_new_tokens: int
    seed: int = 0
    stop: tuple[str, ...] = ()
    is_continued: bool = False
    echo_from: int = 0
    json_schema: str = ""

    @property
    def num_tokens(self) -> int:
        """The longest that prompt and answer can be."""
        return len(self.prompt_ids) + self.max_new_tokens


@dataclass(frozen=True)
class TokenScores:
    """What the model thought of each token of a sequence: its log-probability, its text, and the likeliest tokens."""

    log_probs: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    top: tuple[TopLogProbs, ...] = ()

    def __add__(self, other: TokenScores) -> TokenScores:
        """Those of this and then of `other`."""
        return TokenScores(self.log_probs + other.log_probs, self.tokens + other.tokens, self.top + other.top)


@dataclass(frozen=True)
class Piece:
    """What a sequence got in one pass; `text` waits for whole characters and possible stop texts."""

    key: str
    text: str
    token_ids: tuple[int, ...]
    scores: TokenScores


@dataclass(frozen=True)
class ResultOptions:
    """What is wanted besides the answers.

    Attributes:
        scores: The scores of written tokens.
        drawn_log_probs: The log-probability with which each token was drawn, temperature included, without texts: what
            training by reinforcement needs. Not together with `scores`.
        num_top: How many of the likeliest tokens the scores name at each place.
        echo: The scores of the prompts' own tokens, which are then computed alone, without what is held in memory.
        on_piece: Called with each piece as it is written.
    """

    scores: bool = False
    drawn_log_probs: bool = False
    num_top: int = 0
    echo: bool = False
    on_piece: Callable[[Piece], None] | None = None


@dataclass(frozen=True)
class GenerationResult:
    """One finished sequence.

    Attributes:
        token_ids: The answer, with the end-of-turn token if it stopped by itself.
        text: The answer without special tokens, cut before the stop text that ended it.
        finish_reason: "stop", "length", or "context_overflow": nothing was computed, `detail` has the numbers.
        cached_tokens: How many of `prompt_tokens` came from what others share or what was held.
        prefill_seconds: This sequence's share of reading prompts; `decode_seconds` of writing answers.
        queue_seconds: From the call to its first computation.
        stop_text: The stop text that ended it; empty: none did.
        scores: Of the answer's tokens; `prompt_scores` of the prompt's, from its second on.
    """

    key: str
    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    detail: str = ""
    queue_seconds: float = 0.0
    stop_text: str = ""
    scores: TokenScores = TokenScores()
    prompt_scores: TokenScores = TokenScores()
