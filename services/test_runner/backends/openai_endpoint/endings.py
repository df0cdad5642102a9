"""The words with which servers say why an answer ended."""

from __future__ import annotations

import re

from services.test_runner.backends.openai_endpoint.calls import GarbledError
from services.test_runner.domain import FinishReason

OPENAI_WORDS = ("stop", "length", "tool_calls", "function_call")
_MOST_CHARACTERS = 50
# What says that the server broke the answer off comes first: a rate limit is no limit of the answer.
_FAULT = re.compile(
    r"error|fail|filter|safety|abort|cancel|block|refus|recitation|prohibit|spii|malformed|unexpected|timeout|timed_out"
    r"|unavailable|overload|resource|rate_limit|quota|interrupt|disconnect|moderat|guardrail|language|other"
    r"|unhealthy|kill|crash|evict|preempt|sensitiv|violat|policy|harmful|toxic|armor|denied|reject|invalid|missing"
    r"|too_many|insufficient|incomplete|pause|deadline|time_limit|expired|shutdown|connection|stream_closed|no_image"
)
_SILENCE = re.compile(r"(?:finish_reason_)?(?:|null|none|unknown|unspecified|undefined|n/a)")
_LIMIT = re.compile(r"length|max|limit|context_window|budget|truncat|cut_?off")


def ending_of(word: str) -> FinishReason | None:
    """Return what a server's word means, None when it says nothing.

    One that names neither a limit nor a fault is the end of the model's turn.

    Raises:
        GarbledError: The server ended the answer, not the model.
    """
    plain = re.sub(r"[\s-]+", "_", word.strip().lower())
    if _SILENCE.fullmatch(plain):
        return None
    if _FAULT.search(plain):
        raise GarbledError(f"The endpoint ended the answer with {word[:_MOST_CHARACTERS]!r}.")
    return FinishReason.LENGTH if _LIMIT.search(plain) else FinishReason.STOP


def remark_on(word: str) -> str:
    """Return a sentence that keeps a server's own word, empty for a word that OpenAI's clients know."""
    if not word.strip():
        return "The endpoint gave no reason for the end of the answer."
    return "" if word in OPENAI_WORDS else f"The endpoint ended the answer with {word[:_MOST_CHARACTERS]!r}."
