"""A model of the gateway as lm-eval knows models.

lm-eval's own `local-completions` needs the model's tokenizer on this machine to find where a continuation begins; the
gateway tells the place of each token, so this one needs nothing but the address.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import openai
from lm_eval.api.model import LM

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
_CHAT_MARK = "\x00chat "
_DEFAULT_ANSWER_TOKENS = 256
_RETRIES = 6
_SECONDS = 600.0


class UnsuitedError(ValueError):
    """A task asks for something that this way of asking a model cannot give."""


class GatewayModel(LM):  # type: ignore[misc]
    """Asks a model at the gateway.

    Args:
        url: The gateway's OpenAI address, such as "http://127.0.0.1:7860/v1".
        model: A model version.
        concurrency: Requests in flight at once.
        on_answer: Called with the numbers of requests answered and asked.
    """

    def __init__(self, url: str, model: str, concurrency: int, on_answer: Callable[[int, int], None]) -> None:
        super().__init__()
        self._client = openai.OpenAI(base_url=url, api_key="none", max_retries=_RETRIES, timeout=_SECONDS)
        self._model = model
        self._concurrency = concurrency
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._num_done = 0
        self._num_asked = 0

    @property
    def tokenizer_name(self) -> str:
        """What tells caches of rendered chats apart."""
        return self._model

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return a conversation in one text, for `generate_until` to send as a conversation."""
        return _CHAT_MARK + json.dumps(chat_history)

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Return for each (context, continuation) the continuation's log-probability, and whether it is greedy."""
        return self._each([request.args for request in requests], lambda pair: self._continuation(*pair))

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Return for each text the log-probability of all its tokens but the first."""
        return self._each([request.args[0] for request in requests], lambda text: self._continuation("", text)[0])

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Return for each (context, settings) what the model writes, up to one of the settings' `until`."""
        return self._each([request.args for request in requests], lambda pair: self._answer(*pair))

    def _each(self, items: Sequence[ItemT], ask: Callable[[ItemT], ResultT]) -> list[ResultT]:
        self._num_asked += len(items)

        def counted(item: ItemT) -> ResultT:
            result = ask(item)
            with self._lock:
                self._num_done += 1
                self._on_answer(self._num_done, self._num_asked)
            return result

        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(counted, items))

    def _continuation(self, context: str, continuation: str) -> tuple[float, bool]:
        if context.startswith(_CHAT_MARK):
            raise UnsuitedError("A task that scores given answers cannot be asked as a conversation: leave --chat out.")
        result = self._scored(context + continuation)
        begin = self._first_token(result, context, context + continuation)
        chosen = [
            (log_prob, max((top or {}).values(), default=log_prob))
            for log_prob, top in list(zip(result.token_logprobs, result.top_logprobs, strict=True))[begin:]
            if log_prob is not None
        ]
        return sum(item for item, _ in chosen), all(item >= best for item, best in chosen)

    def _first_token(self, result: Any, context: str, text: str) -> int:
        """Return the place of the first token that reaches beyond the context."""
        if "".join(result.tokens).endswith(text):
            ends = [start + len(token) for start, token in zip(result.text_offset, result.tokens, strict=True)]
            return next((place for place, end in enumerate(ends) if end > len(context)), len(ends))
        # A token that holds a part of a character has no text of its own, so places in the text cannot be told.
        return len(self._scored(context).tokens) if context else 0

    def _scored(self, text: str) -> Any:
        answer = self._client.completions.create(
            model=self._model, prompt=text, max_tokens=0, echo=True, logprobs=1, temperature=0
        )
        return answer.choices[0].logprobs

    def _answer(self, context: str, settings: dict[str, Any]) -> str:
        until = settings.get("until") or []
        request: dict[str, Any] = {
            "model": self._model,
            "stop": [until] if isinstance(until, str) else list(until),
            "max_tokens": settings.get("max_gen_toks", settings.get("max_tokens", _DEFAULT_ANSWER_TOKENS)),
            "temperature": settings.get("temperature", 0) if settings.get("do_sample") else 0,
            "seed": 0,
        }
        if context.startswith(_CHAT_MARK):
            messages = json.loads(context.removeprefix(_CHAT_MARK))
            chat = self._client.chat.completions.create(messages=messages, **request)
            return chat.choices[0].message.content or ""
        completion = self._client.completions.create(prompt=context, **request)
        return str(completion.choices[0].text)
