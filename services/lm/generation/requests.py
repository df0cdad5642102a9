"""What is asked of the engine and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.lm.worker_protocol import FinishReason


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt to continue; `key` names it, and with `seed` it fixes what is sampled."""

    key: str
    prompt_ids: Sequence[int]
    max_new_tokens: int
    seed: int = 0


@dataclass(frozen=True)
class GenerationResult:
    """One finished sequence.

    Attributes:
        token_ids: The answer, with the end-of-turn token if it stopped by itself.
        text: The answer without special tokens.
        finish_reason: "stop", "length", or "context_overflow": nothing was computed, `detail` has the numbers.
        cached_tokens: How many of `prompt_tokens` came from the shared prefix.
        prefill_seconds: This sequence's share of reading prompts; `decode_seconds` of writing answers.
    """

    key: str
    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    prefill_seconds: float
    decode_seconds: float
    detail: str = ""
