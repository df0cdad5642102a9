"""An answer put together from an endpoint's chunks, none of which is trusted to be what it should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.test_runner.domain import FinishReason, TokenLogProb, ToolCall
from services.test_runner.ports import Delta

_MAX_CALLS = 128
_REASONS = {
    "stop": FinishReason.STOP,
    "tool_calls": FinishReason.STOP,
    "function_call": FinishReason.STOP,
    "length": FinishReason.LENGTH,
}


class GarbledError(Exception):
    """The endpoint says something that is no answer; the message is one sentence."""


@dataclass
class _Call:
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass
class Reply:
    """What has come so far."""

    text: list[str] = field(default_factory=list)
    tokens: list[TokenLogProb] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    num_chunks: int = 0
    _calls: dict[int, _Call] = field(default_factory=dict)
    _usage: Mapping[str, Any] = field(default_factory=dict)
    _timings: Mapping[str, Any] = field(default_factory=dict)

    def add(self, chunk: object, key: str) -> Delta | None:
        """Take one chunk, and return what it brought to the text.

        Raises:
            GarbledError: It is no chunk of an answer.
        """
        if not isinstance(chunk, dict):
            raise GarbledError("The endpoint's stream holds something else than JSON objects.")
        self._usage = _mapping(chunk.get("usage")) or self._usage
        self._timings = _mapping(chunk.get("timings")) or self._timings
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return None
        choice = _mapping(choices[0])
        delta = _mapping(choice.get("delta"))
        text = _text(delta.get("content")) or _text(choice.get("text"))
        tokens = tuple(_tokens(_mapping(choice.get("logprobs"))))
        self._take_calls(delta.get("tool_calls"))
        self._take_reason(choice.get("finish_reason"))
        self.num_chunks += bool(text or delta.get("tool_calls"))
        self.text.append(text)
        self.tokens += tokens
        return Delta(key, text, tokens) if text or tokens else None

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """Functions that are called, in order."""
        return tuple(
            ToolCall(f"call_{place}", call.name, "".join(call.arguments))
            for place, call in enumerate(self._calls[index] for index in sorted(self._calls))
        )

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Ids of the answer's tokens, where the endpoint tells all of them."""
        ids = tuple(token.token_id for token in self.tokens)
        return () if -1 in ids else ids

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of the prompt, 0 when the endpoint does not tell."""
        return _count(self._usage.get("prompt_tokens"))

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of the prompt that came from a cache."""
        details = _mapping(self._usage.get("prompt_tokens_details"))
        return _count(details.get("cached_tokens")) or _count(self._timings.get("cache_n"))

    @property
    def num_generated_tokens(self) -> int:
        """Tokens of the answer; the number of chunks when the endpoint does not tell."""
        return _count(self._usage.get("completion_tokens")) or len(self.tokens) or self.num_chunks

    def seconds(self, first: float, last: float) -> tuple[float, float]:
        """Return the time to read the prompt and to write the answer, by the server's word or else by the clock's."""
        prefill, decode = self._timings.get("prompt_ms"), self._timings.get("predicted_ms")
        if _is_time(prefill) and _is_time(decode):
            return float(prefill or 0) / 1000, float(decode or 0) / 1000
        return first, last - first

    def _take_calls(self, parts: object) -> None:
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            entry = _mapping(part)
            index = entry.get("index", place)
            if not isinstance(index, int) or not 0 <= index < _MAX_CALLS:
                raise GarbledError("The endpoint's stream holds a function call that cannot be placed.")
            call, function = self._calls.setdefault(index, _Call()), _mapping(entry.get("function"))
            call.name = call.name or _text(function.get("name"))
            call.arguments.append(_text(function.get("arguments")))

    def _take_reason(self, reason: object) -> None:
        if not isinstance(reason, str) or not reason:
            return
        if reason not in _REASONS:
            raise GarbledError(f"The endpoint ended the answer with {_short(reason)!r}.")
        self.finish_reason = _REASONS[reason]


def _tokens(log_probs: Mapping[str, Any]) -> Iterator[TokenLogProb]:
    content = log_probs.get("content")
    if isinstance(content, list):
        for entry in map(_mapping, content):
            top = [_mapping(item) for item in _list(entry.get("top_logprobs"))]
            shown = tuple((_text(item.get("token")), _log_prob(item.get("logprob")) or 0.0) for item in top)
            token_id = entry.get("id")
            known_id = token_id if isinstance(token_id, int) and 0 <= token_id < 1 << 31 else -1
            yield TokenLogProb(_text(entry.get("token")), known_id, _log_prob(entry.get("logprob")), shown)
        return
    texts, values = _list(log_probs.get("tokens")), _list(log_probs.get("token_logprobs"))
    tops = _list(log_probs.get("top_logprobs")) or [{}] * len(texts)
    for text, value, top in zip(texts, values, tops, strict=False):
        shown = tuple((_text(name), _log_prob(number) or 0.0) for name, number in _mapping(top).items())
        yield TokenLogProb(_text(text), -1, _log_prob(value), shown)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: object) -> str:
    # Half a surrogate pair has no form in UTF-8.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _short(text: str) -> str:
    return _text(text)[:50]


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1e9


def _log_prob(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and -1e9 < value <= 0 else None
