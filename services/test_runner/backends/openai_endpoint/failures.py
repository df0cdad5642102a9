"""What can go wrong between this service and an endpoint, and whether it may pass."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from services.chassis.errors import FailedPrecondition, PermissionDenied, ServiceError
from services.chassis.machine.guarded_http import BodyTooLongError, ForbiddenAddressError
from services.test_runner.backends.openai_endpoint.calls import GarbledError
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.transcript import FinishReason

if TYPE_CHECKING:
    import httpx2
    from openai import APIError, APIStatusError

_FIRST_WAIT_SECONDS = 0.5
_LAST_WAIT_SECONDS = 30.0
_MOST_WAIT_SECONDS = 120.0
_EXCERPT = 200
_MOST_CHARACTERS = 4000
_FIRST_CLIENT_STATUS, _SERVER_STATUS = 400, 500
_PASSING_STATUS = (408, 409, 425, 429)
_BUSY_STATUS = (429, 503, 529)
_BUSY = re.compile(r"busy|overload|too many requests|rate.?limit|no (?:free |idle )?slots?\b|capacity", re.IGNORECASE)
_SHARED_CONTEXT = "Context size has been exceeded"
_OVERFLOW = re.compile(
    r"exceed_context_size|context[ _](?:length|size|window|overflow)|context the overflows"
    r"|(?:prompt|input)s? (?:is |are )?too (?:long|large)|(?:prompt|input)s? length\b.{0,40}\bexceeds"
    r"|inputs`? tokens \+",
    re.IGNORECASE,
)
# What servers say when the chat template raises an exception: llama.cpp, vLLM, and the templates' own words.
_REFUSED = re.compile(
    r"jinja|chat.?template|templateerror|roles? must|role not supported|roles? (?:is|are) supported"
    r"|tool.?call.?ids?|single tool.?call",
    re.IGNORECASE,
)
_PROMPT_TOKENS = re.compile(
    r"\((\d+) in the (?:messages|prompt)|(\d+) input tokens|(?:length \(|too long: |Given: )(\d+)", re.IGNORECASE
)


class EndpointFailure(Exception):
    """No answer; the message is one sentence.

    Attributes:
        may_pass: The same request may be answered later.
        is_busy: It may be answered when fewer are asked at once.
        retry_after_seconds: When the endpoint says that it may be asked again.
        finish_reason: What the case counts as that stays without an answer.
        num_prompt_tokens: Tokens of the prompt where the endpoint tells them.
    """

    finish_reason = FinishReason.BACKEND_FAULT
    num_prompt_tokens = 0

    def __init__(
        self, sentence: str, *, may_pass: bool = False, is_busy: bool = False, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(sentence)
        self.may_pass = may_pass or is_busy
        self.is_busy = is_busy
        self.retry_after_seconds = retry_after_seconds


class ContextOverflowError(EndpointFailure):
    """The endpoint says that the prompt is too long; `num_prompt_tokens` is 0 when it does not say how long it is."""

    finish_reason = FinishReason.CONTEXT_OVERFLOW

    def __init__(self, sentence: str, num_prompt_tokens: int) -> None:
        super().__init__(sentence)
        self.num_prompt_tokens = num_prompt_tokens


class RefusedPromptError(EndpointFailure):
    """The chat template of the endpoint refuses the messages."""

    finish_reason = FinishReason.TEMPLATE_FAULT


def failure_of(error: Exception, endpoint: Endpoint, key: str) -> Exception:
    """Return what an exception of the `openai` client means.

    A `ServiceError` ends the run: with this key, this host or this model name no case can be answered.
    """
    import httpx2
    import openai

    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    if isinstance(error, openai.APIStatusError):
        return _failure_of_status(error, endpoint, key)
    if isinstance(cause, ForbiddenAddressError):
        return forbidden(endpoint)
    if isinstance(cause, BodyTooLongError | GarbledError):
        return EndpointFailure(str(cause))
    if isinstance(error, openai.APIConnectionError | httpx2.HTTPError):
        return EndpointFailure(f"The connection to {endpoint.host} broke or was not made.", may_pass=True)
    if isinstance(error, openai.APIError):
        return _failure_in_stream(error, endpoint, key)
    return EndpointFailure("The endpoint's stream holds something else than JSON objects.")


def wait_seconds(attempt: int, failure: EndpointFailure) -> float:
    """Return how long to wait before the next try; `attempt` counts from 0."""
    ceiling = min(_FIRST_WAIT_SECONDS * 2.0**attempt, _LAST_WAIT_SECONDS)
    return max(ceiling * (0.5 + random.random() / 2), min(failure.retry_after_seconds, _MOST_WAIT_SECONDS))


def wrong_key(endpoint: Endpoint) -> ServiceError:
    """Return the error of an endpoint that does not take the key."""
    if not endpoint.api_key_secret:
        return FailedPrecondition(
            f"The endpoint at {endpoint.host} asks for a key.", "Name the secret that holds it in api_key_secret."
        )
    return FailedPrecondition(
        f"The endpoint at {endpoint.host} does not take the key in the secret {endpoint.api_key_secret}.",
        "Put the right key into the secret.",
    )


def forbidden(endpoint: Endpoint) -> ServiceError:
    """Return the error of a host that is never asked."""
    return PermissionDenied(
        f"The host {endpoint.host} leads to a private or reserved address, which only a listed name may have.",
        "Use another endpoint, or have the operator add the host to TEST_RUNNER_ENDPOINT_HOSTS.",
    )


def unknown_model(endpoint: Endpoint, models: tuple[str, ...]) -> ServiceError:
    """Return the error of a model name that the endpoint does not have."""
    names = ", ".join(name[:80] for name in models[:20]) or "none that it lists"
    return FailedPrecondition(
        f"The endpoint at {endpoint.host} has no model {endpoint.model!r}; it has: {names}.", "Name one of those."
    )


def _failure_of_status(error: APIStatusError, endpoint: Endpoint, key: str) -> Exception:
    status, text = error.status_code, _excerpt(error.body if error.body else "", key)
    if status in (401, 403):
        return wrong_key(endpoint)
    if status == 404 and "model" in text.lower():
        return unknown_model(endpoint, ())
    if 300 <= status < 400:
        return EndpointFailure("The endpoint answers with a redirect, which is not followed.")
    if failure := _failure_with_prompt(error.body, status, key):
        return failure
    return EndpointFailure(
        f"The endpoint answers with status {status}: {text or 'no more'}",
        may_pass=status >= _SERVER_STATUS or status in _PASSING_STATUS,
        is_busy=_is_busy(status, text),
        retry_after_seconds=_retry_after(error.response),
    )


def _failure_in_stream(error: APIError, endpoint: Endpoint, key: str) -> Exception:
    """Return what an error means that came instead of an answer's next piece."""
    body = error.body if error.body is not None else error.message
    status, text = _status_in(body), _excerpt(body, key)
    if status in (401, 403):
        return wrong_key(endpoint)
    if failure := _failure_with_prompt(body, status, key):
        return failure
    return EndpointFailure(f"The endpoint broke off: {text}", may_pass=True, is_busy=_is_busy(status, text))


def _status_in(body: object) -> int:
    """Return the status that an error's body tells, 0 when it tells none."""
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    named = [fields.get(name) for name in ("code", "status", "status_code")]
    codes = [int(code) for code in named if isinstance(code, int) or (isinstance(code, str) and code.isdecimal())]
    if not codes and fields.get("type") in ("server_error", "internal_server_error", "InternalServerError"):
        return _SERVER_STATUS
    return codes[0] if codes else 0


def _is_busy(status: int, text: str) -> bool:
    """Whether fewer requests at once may help.

    llama.cpp's slots share one context unless their number is given: what fits alone does not fit beside the others,
    and then it is the server that failed, with a status of 500.
    """
    is_requests_fault = _FIRST_CLIENT_STATUS <= status < _SERVER_STATUS
    return status in _BUSY_STATUS or (not is_requests_fault and bool(_BUSY.search(text) or _OVERFLOW.search(text)))


def _failure_with_prompt(body: object, status: int, key: str) -> EndpointFailure | None:
    """Return what is wrong with the prompt itself, None where it is not the prompt."""
    text = _excerpt(body, key)
    if status in _PASSING_STATUS:
        return None
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    words = f"{text} {fields.get('type')} {fields.get('code')}"
    is_servers = (status >= _SERVER_STATUS or _SHARED_CONTEXT in text) and "exceed_context_size" not in words
    if _OVERFLOW.search(words) and not is_servers:
        count, named = fields.get("n_prompt_tokens"), _PROMPT_TOKENS.search(text)
        num_tokens = count if isinstance(count, int) else int(next(filter(None, named.groups()))) if named else 0
        return ContextOverflowError(f"The endpoint says: {text}", num_tokens)
    whole = _excerpt(body, key, most=_MOST_CHARACTERS)
    if status <= _SERVER_STATUS and _REFUSED.search(whole):
        # llama.cpp shows the place in the template first, and the reason in the end.
        return RefusedPromptError(f"The endpoint's chat template refuses the messages: {whole[-_EXCERPT:].strip()}")
    return None


def _retry_after(response: httpx2.Response) -> float:
    text = response.headers.get("retry-after", "")[:40]
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0


def _excerpt(value: object, key: str, most: int = _EXCERPT) -> str:
    """What a server says, short, on one line, and without the key."""
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        value = value["message"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, default=str)
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * most])
    return (plain.replace(key, "***") if key else plain)[:most]
