"""An answer put together from an endpoint's chunks, none of which is trusted to be what it should."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.test_runner.backends.openai_endpoint.calls import CallAssembly, GarbledError
from services.test_runner.backends.openai_endpoint.json_values import count_in, list_in, mapping_in, text_in
from services.test_runner.domain.endpoint import Departure
from services.test_runner.domain.generation import TokenLogProb
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import Delta

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

_ALL_REASONING = (
    "The endpoint sends the whole answer as reasoning, which no client takes for an answer: "
    "start its server without a reasoning parser, or with the one of this model."
)
_REASONING = ("reasoning_content", "reasoning", "thinking")
_CALL_WORDS = ("tool_calls", "function_call", "tool_use", "tool_call")
# In the words of vLLM and SGLang.
_STOP_TEXTS = ("stop_reason", "matched_stop")
_REASONING_PARTS = ("reasoning", "thinking", "redacted_thinking", "summary")


@dataclass
class Reply:
    """What has come so far.

    Attributes:
        is_done: The stream said that it is over.
        stop_text: The text at which the answer ended, where the server says it.
    """

    text: list[str] = field(default_factory=list)
    tokens: list[TokenLogProb] = field(default_factory=list)
    num_chunks: int = 0
    is_done: bool = False
    stop_text: str = ""
    _reason: FinishReason | None = None
    _word: str | None = None
    _has_choice: bool = False
    _place: object = None
    _reasoning: str = ""
    _departures: dict[Departure, None] = field(default_factory=dict)
    _calls: CallAssembly = field(default_factory=CallAssembly)
    _usage: Mapping[str, Any] = field(default_factory=dict)
    _timings: Mapping[str, Any] = field(default_factory=dict)

    def add(self, chunk: object, key: str) -> Delta | None:
        """Take one chunk, and return what it brought to the text.

        Raises:
            GarbledError: It is no chunk of an answer.
        """
        if not isinstance(chunk, dict):
            raise GarbledError("The endpoint's stream holds something else than JSON objects.")
        self._usage = mapping_in(chunk.get("usage")) or self._usage
        self._timings = mapping_in(chunk.get("timings")) or self._timings
        choice = self._choice(list_in(chunk.get("choices")))
        if choice is None:
            return None
        message = self._message(choice)
        text = self._text(message)
        if not text and (text := text_in(choice.get("text"))):
            self._departures[Departure.TEXT] = None
        tokens = tuple(_tokens(mapping_in(choice.get("logprobs"))))
        has_calls = self._take_calls(message)
        reasoning = (text_in(message.get(name)).strip() for name in _REASONING)
        self._reasoning = self._reasoning or next(filter(None, reasoning), "")[:1]
        self._take_word(choice.get("finish_reason"))
        said = (text_in(choice.get(name)) for name in _STOP_TEXTS)
        self.stop_text = next(filter(None, said), self.stop_text)
        self.num_chunks += bool(text or has_calls)
        self.text.append(text)
        self.tokens += tokens
        return Delta(key, text, tokens) if text or tokens else None

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it did not.

        A stream that says that it is over is whole without a word for its end.
        """
        if self._reason is None and self.is_done and self._has_choice:
            return FinishReason.STOP
        return self._reason

    @property
    def has_reason(self) -> bool:
        """Whether the server says in a word why the answer ended."""
        return self._reason is not None

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        """Name and arguments of the functions that are called, in order.

        Raises:
            GarbledError: One has no name.
        """
        return self._calls.finished()

    @property
    def departures(self) -> tuple[Departure, ...]:
        """In what the server departs from OpenAI's form."""
        shared = (Departure.SHARED_INDEX,) * self._calls.shares_index
        return (*self._departures, *shared, *(Departure.OBJECT_ARGUMENTS,) * self._calls.has_values)

    @property
    def remark(self) -> str:
        """A sentence that keeps the server's own word for the end, empty for one of OpenAI's."""
        return remark_on(self._word or "")

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Ids of the answer's tokens, where the endpoint tells all of them."""
        ids = tuple(token.token_id for token in self.tokens)
        return () if -1 in ids else ids

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of the prompt, 0 when the endpoint does not tell."""
        return count_in(self._usage.get("prompt_tokens"))

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of the prompt that came from a cache."""
        details = mapping_in(self._usage.get("prompt_tokens_details"))
        return count_in(details.get("cached_tokens")) or count_in(self._timings.get("cache_n"))

    @property
    def num_generated_tokens(self) -> int:
        """Tokens of the answer; the number of chunks when the endpoint does not tell."""
        return count_in(self._usage.get("completion_tokens")) or len(self.tokens) or self.num_chunks

    def seconds(self, first: float, last: float) -> tuple[float, float]:
        """Return the time to read the prompt and to write the answer, by the server's word or else by the clock's."""
        prefill, decode = self._timings.get("prompt_ms"), self._timings.get("predicted_ms")
        if all(isinstance(value, int | float) and 0 <= value < 1e9 for value in (prefill, decode)):
            return float(prefill or 0) / 1000, float(decode or 0) / 1000
        return first, last - first

    def check_content(self) -> None:
        """Return when the server kept back nothing of what the model said.

        Raises:
            GarbledError: It did.
        """
        if self.calls or "".join(self.text).strip():
            return
        if self._reasoning:
            raise GarbledError(_ALL_REASONING)
        if self._word in _CALL_WORDS:
            raise GarbledError("The endpoint says that functions are called, and sends neither a call nor a text.")

    def _choice(self, choices: Sequence[Any]) -> Mapping[str, Any] | None:
        """Return what belongs to the answer; a server that gives several has its first one taken."""
        for choice in map(mapping_in, choices):
            place = choice.get("index")
            self._has_choice = True
            self._place = place if self._place is None else self._place
            if place is None or place == self._place:
                return choice
        return None

    def _message(self, choice: Mapping[str, Any]) -> Mapping[str, Any]:
        delta, message = mapping_in(choice.get("delta")), mapping_in(choice.get("message"))
        # Some servers repeat the whole message behind its pieces.
        if delta or not message or (self.num_chunks and Departure.MESSAGE not in self._departures):
            return delta
        self._departures[Departure.MESSAGE] = None
        return message

    def _text(self, message: Mapping[str, Any]) -> str:
        content = message.get("content")
        if isinstance(content, list | dict):
            self._departures[Departure.CONTENT_PARTS] = None
            parts = content if isinstance(content, list) else [content]
            content = "".join(_part(part) for part in parts)
            self._reasoning = self._reasoning or next(filter(None, map(_reasoning_part, parts)), "")
        refusal = text_in(message.get("refusal"))
        if refusal:
            self._departures[Departure.REFUSAL] = None
        return text_in(content) or refusal

    def _take_calls(self, message: Mapping[str, Any]) -> bool:
        entries, legacy = message.get("tool_calls"), mapping_in(message.get("function_call"))
        if isinstance(entries, dict):
            entries = [entries]
        if legacy and not entries:
            entries = [{"function": legacy}]
            self._departures[Departure.FUNCTION_CALL] = None
        return self._calls.take(list_in(entries))

    def _take_word(self, word: object) -> None:
        if isinstance(word, str):
            reason = ending_of(word)
            if reason is not None or self._word is None:
                self._word = word
            self._reason = reason or self._reason


def _part(part: object) -> str:
    if isinstance(part, str):
        return text_in(part)
    fields = mapping_in(part)
    if fields.get("type") in _CALL_WORDS:
        raise GarbledError("The endpoint sends a function call among the parts of the text, where no client reads it.")
    return "" if fields.get("type") in _REASONING_PARTS else text_in(fields.get("text"))


def _reasoning_part(part: object) -> str:
    fields = mapping_in(part)
    return str(fields["type"]) if fields.get("type") in _REASONING_PARTS else ""


def _tokens(log_probs: Mapping[str, Any]) -> Iterator[TokenLogProb]:
    content = log_probs.get("content")
    if isinstance(content, list):
        for entry in map(mapping_in, content):
            top = [mapping_in(item) for item in list_in(entry.get("top_logprobs"))]
            alternatives = tuple((text_in(item.get("token")), _log_prob(item.get("logprob")) or 0.0) for item in top)
            token_id = entry.get("id")
            known_id = token_id if isinstance(token_id, int) and 0 <= token_id < 1 << 31 else -1
            yield TokenLogProb(text_in(entry.get("token")), known_id, _log_prob(entry.get("logprob")), alternatives)
        return
    texts, values = list_in(log_probs.get("tokens")), list_in(log_probs.get("token_logprobs"))
    tops = list_in(log_probs.get("top_logprobs")) or [{}] * len(texts)
    for text, value, top in zip(texts, values, tops, strict=False):
        alternatives = tuple((text_in(name), _log_prob(number) or 0.0) for name, number in mapping_in(top).items())
        yield TokenLogProb(text_in(text), -1, _log_prob(value), alternatives)


def _log_prob(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and -1e9 < value <= 0 else None


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
