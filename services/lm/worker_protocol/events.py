"""What a generation worker tells its parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "context_overflow", "template_fault"]
ErrorCode = Literal["invalid_argument", "resource_exhausted", "internal"]
# The likeliest tokens at one place, likeliest first: their text and log-probability.
TopLogProbs = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Ready:
    """The worker has loaded its model; the first line it writes."""

    dtype: str
    threads: int
    model_digest: str
    adapter_digest: str
    chat_template_digest: str
    max_positions: int
    library_versions: Mapping[str, str]
    load_seconds: float
    device: str = "cpu"
    event: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Answer:
    """One finished sequence; what was not asked for is empty.

    Attributes:
        text: Without special tokens, and cut before the stop text that ended it.
        token_ids: As written: with the end-of-turn token, or the token that completed a stop text.
        cached_tokens: How many of `prompt_tokens` were not computed for this sequence alone.
        prefill_seconds: Its own share of the batch's time, as `decode_seconds`.
        detail: Why nothing was computed.
        log_probs: Of each of `token_ids`, before temperature and filters, as the others.
        tokens: The text of each of `token_ids`.
        top_log_probs: At each place, the likeliest tokens.
        queue_seconds: From the request to its first computation.
        prompt_log_probs: Of each of the prompt's tokens; None for the first, which nothing precedes.
        prompt_token_ids: The prompt's tokens, `prompt_tokens_text` their text.
        prompt_top_log_probs: At each of the prompt's places, the likeliest tokens; empty at the first.
    """

    id: int
    key: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    prefill_seconds: float
    decode_seconds: float
    detail: str = ""
    log_probs: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    top_log_probs: tuple[TopLogProbs, ...] = ()
    queue_seconds: float = 0.0
    prompt_log_probs: tuple[float | None, ...] = ()
    prompt_token_ids: tuple[int, ...] = ()
    prompt_tokens_text: tuple[str, ...] = ()
    prompt_top_log_probs: tuple[TopLogProbs, ...] = ()
    event: Literal["answer"] = "answer"


@dataclass(frozen=True)
class Delta:
    """What a sequence has got since the `Delta` before; put together, its parts are the answer's.

    `text` is empty while a character or a possible stop text is not complete yet.
    """

    id: int
    key: str
    text: str
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    top_log_probs: tuple[TopLogProbs, ...] = ()
    event: Literal["delta"] = "delta"


@dataclass(frozen=True)
class Progress:
    """Sent about every second while sequences are decoded: tokens so far, sequences in the batch and waiting."""

    id: int
    tokens: int
    active: int
    waiting: int
    event: Literal["progress"] = "progress"


@dataclass(frozen=True)
class Done:
    """The request is over; every answer has been sent before."""

    id: int
    tokens: int
    seconds: float
    cancelled: bool = False
    event: Literal["done"] = "done"


@dataclass(frozen=True)
class Previewed:
    """The rendered prompt, its token ids, and the text of each token."""

    id: int
    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...] = ()
    event: Literal["previewed"] = "previewed"


@dataclass(frozen=True)
class Failed:
    """The request, or with id 0 the worker itself, could not go on."""

    id: int
    code: ErrorCode
    problem: str
    next_step: str
    event: Literal["error"] = "error"


Event = Ready | Answer | Delta | Progress | Done | Previewed | Failed
