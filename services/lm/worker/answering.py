"""Requests to events, with one loaded model."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from services.lm import worker_protocol as protocol
from services.lm.chat import encode_example, encode_prompt, render
from services.lm.errors import InvalidChat, LimitExceeded, LmError, PromptRefused
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest, GenerationResult, Piece, ResultOptions
from services.lm.generation.scores import token_texts
from services.lm.loading import LoadedModel
from services.lm.process import bounded_template

_PROGRESS_SECONDS: Final = 1.0
# A hostile chat template can loop, or fill the memory; an honest one takes milliseconds and little.
_RENDERING_SECONDS: Final = 20.0
_RENDERING_BYTES: Final = 1 << 30
# One message may lead a template astray; when so many do, no other is better served.
_MOST_COSTLY: Final = 3


class Worker:
    """Answers requests with one loaded model."""

    def __init__(self, loaded: LoadedModel, engine: Engine, send: Callable[[protocol.Event], None]) -> None:
        self._loaded, self._engine, self._send = loaded, engine, send

    def answer(self, request: protocol.Generate | protocol.Preview, is_cancelled: Callable[[], bool]) -> None:
        """Send what the request asks for, or one `Failed`."""
        try:
            if isinstance(request, protocol.Preview):
                self._preview(request)
            else:
                self._generate(request, is_cancelled)
        except LimitExceeded as error:
            self._send(protocol.Failed(request.id, "resource_exhausted", error.problem, error.next_step))
        except LmError as error:
            self._send(protocol.Failed(request.id, "invalid_argument", error.located_problem, error.next_step))
        except MemoryError:
            self._send(_out_of_memory(request.id))
        except Exception as error:
            # The process boundary: the parent must hear of it, and the next request may well succeed.
            if "memory" in str(error).lower():
                self._send(_out_of_memory(request.id))
                return
            problem = f"The computation failed ({type(error).__name__}: {error})."
            self._send(protocol.Failed(request.id, "internal", problem, "Try again; report it if it stays."))

    def _preview(self, request: protocol.Preview) -> None:
        if request.answered:
            self._preview_answered(request)
            return
        text = request.text
        with bounded_template(_RENDERING_SECONDS, _RENDERING_BYTES):
            if not text:
                text = render(self._loaded.tokenizer, request.messages, **_tools_of(request))
            ids = self._ids(request)
        self._send(protocol.Previewed(request.id, text, tuple(ids), token_texts(self._loaded.tokenizer, ids)))

    def _preview_answered(self, request: protocol.Preview) -> None:
        loaded = self._loaded
        with bounded_template(_RENDERING_SECONDS, _RENDERING_BYTES):
            row = encode_example(loaded.tokenizer, request.messages, eos_ids=loaded.eos_ids, **_tools_of(request))
        ((start, _),) = row.spans
        self._send(protocol.Previewed(request.id, "", row.ids, num_prompt_tokens=start))

    def _generate(self, request: protocol.Generate, is_cancelled: Callable[[], bool]) -> None:
        start = last = time.monotonic()
        tokens = 0

        def on_step(written: int, active: int, waiting: int) -> bool:
            nonlocal last, tokens
            tokens = written
            if time.monotonic() - last >= _PROGRESS_SECONDS:
                last = time.monotonic()
                self._send(protocol.Progress(request.id, written, active, waiting))
            return not is_cancelled()

        requests = list(self._encoded_all(request))
        prompt_ids = {each.key: each.prompt_ids for each in requests} if request.echo else {}
        self._send(protocol.Progress(request.id, 0, 0, len(requests)))
        options, sampling, most = self._options(request), request.sampling, request.max_batch
        results = (
            self._engine.generate(requests, sampling, max_batch=most, on_step=on_step, options=options)
            if requests
            else ()
        )
        for result in results:
            self._send(self._answer(request.id, result, tuple(prompt_ids.get(result.key, ()))))
        self._send(protocol.Done(request.id, tokens, time.monotonic() - start, is_cancelled()))

    def _options(self, request: protocol.Generate) -> ResultOptions:
        def on_piece(piece: Piece) -> None:
            scores = piece.scores
            values = (scores.log_probs, scores.tokens, scores.top)
            self._send(protocol.Delta(request.id, piece.key, piece.text, piece.token_ids, *values))

        return ResultOptions(
            scores=request.log_probs or request.num_top_log_probs > 0,
            num_top=request.num_top_log_probs,
            echo=request.echo,
            on_piece=on_piece if request.stream else None,
        )

    def _answer(self, request_id: int, result: GenerationResult, prompt_ids: tuple[int, ...]) -> protocol.Answer:
        prompt, has_echo = result.prompt_scores, bool(prompt_ids) and result.finish_reason != "context_overflow"
        return protocol.Answer(
            request_id,
            result.key,
            result.text,
            result.token_ids,
            result.finish_reason,
            result.prompt_tokens,
            result.cached_tokens,
            result.prefill_seconds,
            result.decode_seconds,
            result.detail,
            log_probs=result.scores.log_probs,
            tokens=result.scores.tokens,
            top_log_probs=result.scores.top,
            queue_seconds=result.queue_seconds,
            stop_text=result.stop_text,
            prompt_log_probs=(*(None,) * (len(prompt_ids) - len(prompt.log_probs)), *prompt.log_probs)
            if has_echo
            else (),
            prompt_token_ids=prompt_ids if has_echo else (),
            prompt_tokens_text=token_texts(self._loaded.tokenizer, prompt_ids) if has_echo else (),
            prompt_top_log_probs=(*((),) * (len(prompt_ids) - len(prompt.top)), *prompt.top)
            if has_echo and prompt.top
            else (),
        )

    def _encoded_all(self, request: protocol.Generate) -> Iterator[GenerationRequest]:
        """Yield what can be computed; a prompt that the template refuses is answered at once, and costs no other.

        Raises:
            InvalidChat: The template took too much for more than a few prompts.
        """
        num_costly = 0
        for prompt in request.prompts:
            try:
                yield self._encoded(prompt)
            except (PromptRefused, LimitExceeded) as error:
                num_costly += isinstance(error, LimitExceeded)
                if num_costly > _MOST_COSTLY:
                    raise InvalidChat(f"Of {num_costly} prompts: {error.problem}", error.next_step) from error
                detail = f"{error.problem} {error.next_step}"
                self._send(
                    protocol.Answer(request.id, prompt.key, "", (), "template_fault", 0, 0, 0.0, 0.0, detail=detail)
                )

    def _encoded(self, prompt: protocol.Prompt) -> GenerationRequest:
        try:
            with bounded_template(_RENDERING_SECONDS, _RENDERING_BYTES):
                ids = self._ids(prompt)
        except LmError as error:
            raise type(error)(error.problem, error.next_step, f"prompt {prompt.key!r}") from error
        return GenerationRequest(
            prompt.key,
            ids,
            prompt.max_new_tokens,
            prompt.seed,
            prompt.stop,
            bool(prompt.conversation),
            prompt.echo_from,
            prompt.json_schema,
        )

    def _ids(self, prompt: protocol.Prompt | protocol.Preview) -> list[int]:
        tokenizer = self._loaded.tokenizer
        if isinstance(prompt, protocol.Prompt) and prompt.token_ids:
            num_tokens = len(tokenizer)
            unknown = next((token_id for token_id in prompt.token_ids if token_id >= num_tokens), None)
            if unknown is not None:
                raise InvalidChat(f"The model has no token {unknown}.", f"Send ids from 0 to {num_tokens - 1}.")
            return list(prompt.token_ids)
        if not prompt.text:
            _check_messages(prompt.messages)
            return encode_prompt(tokenizer, prompt.messages, **_tools_of(prompt))
        # A text that was rendered by the chat template begins like this already.
        begins = tokenizer.bos_token if isinstance(tokenizer.bos_token, str) else ""
        is_rendered = bool(begins) and prompt.text.startswith(begins)
        ids: list[int] = tokenizer.encode(prompt.text, add_special_tokens=not is_rendered)
        return ids


def _check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    for place, message in enumerate(messages):
        if "content" not in message and "tool_calls" not in message:
            raise InvalidChat(f"The message {place} has neither content nor calls.", "Give each message its content.")


def _tools_of(prompt: protocol.Prompt | protocol.Preview) -> Mapping[str, Any]:
    return {"tools": prompt.tools} if prompt.tools else {}


def _out_of_memory(request_id: int) -> protocol.Failed:
    return protocol.Failed(request_id, "resource_exhausted", "There is not enough memory.", "Use a smaller max_batch.")
