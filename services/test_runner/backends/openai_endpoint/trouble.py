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
from services.test_runner.backends.openai_endpoint.reply import GarbledError
from services.test_runner.backends.openai_endpoint.transport import BodyTooLongError, ForbiddenAddressError
from services.test_runner.domain import Endpoint

if TYPE_CHECKING:
    import httpx2
    from openai import APIStatusError

_FIRST_WAIT_SECONDS = 0.5
_LAST_WAIT_SECONDS = 30.0
_MOST_WAIT_SECONDS = 120.0
_EXCERPT = 200
_PASSING_STATUS = (408, 409, 425, 429)
_OVERFLOW = re.compile(r"exceed_context_size|context[ _](?:length|size|window)", re.IGNORECASE)
_PROMPT_TOKENS = re.compile(r"\((\d+) in the (?:messages|prompt)|(\d+) input tokens", re.IGNORECASE)


class TroubleError(Exception):
    """No answer; the message is one sentence.

    Attributes:
        may_pass: The same request may be answered later.
        retry_after_seconds: When the endpoint says that it may be asked again.
    """

    def __init__(self, sentence: str, *, may_pass: bool = False, retry_after_seconds: float = 0.0) -> None:
        super().__init__(sentence)
        self.may_pass = may_pass
        self.retry_after_seconds = retry_after_seconds


class ContextOverflowError(TroubleError):
    """The endpoint says that the prompt is too long; `num_prompt_tokens` is 0 when it does not say how long it is."""

    def __init__(self, sentence: str, num_prompt_tokens: int) -> None:
        super().__init__(sentence)
        self.num_prompt_tokens = num_prompt_tokens


def trouble_of(error: Exception, endpoint: Endpoint, key: str) -> Exception:
    """Return what an exception of the `openai` client means.

    A `ServiceError` ends the run: with this key, this host or this model name no case can be answered.
    """
    import openai

    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    if isinstance(error, openai.APIStatusError):
        return _trouble_of_status(error, endpoint, key)
    if isinstance(cause, ForbiddenAddressError):
        return forbidden(endpoint)
    if isinstance(cause, BodyTooLongError | GarbledError):
        return TroubleError(str(cause))
    if isinstance(error, openai.APIConnectionError):
        return TroubleError(f"The connection to {endpoint.host} broke or was not made.", may_pass=True)
    if isinstance(error, openai.APIError):
        said = _excerpt(error.body if error.body is not None else error.message, key)
        return _overflow_in(error.body, said) or TroubleError(f"The endpoint broke off: {said}", may_pass=True)
    return TroubleError("The endpoint's stream holds something else than JSON objects.")


def wait_seconds(attempt: int, trouble: TroubleError) -> float:
    """Return how long to wait before the next try; `attempt` counts from 0."""
    ceiling = min(_FIRST_WAIT_SECONDS * 2.0**attempt, _LAST_WAIT_SECONDS)
    return max(ceiling * (0.5 + random.random() / 2), min(trouble.retry_after_seconds, _MOST_WAIT_SECONDS))


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
        f"The host {endpoint.host} leads to an address that is never asked.",
        "Use another endpoint, or have the operator add the host to TEST_RUNNER_ENDPOINT_HOSTS.",
    )


def unknown_model(endpoint: Endpoint, known: tuple[str, ...]) -> ServiceError:
    """Return the error of a model name that the endpoint does not have."""
    names = ", ".join(name[:80] for name in known[:20]) or "none that it lists"
    return FailedPrecondition(
        f"The endpoint at {endpoint.host} has no model {endpoint.model!r}; it has: {names}.", "Name one of those."
    )


def _trouble_of_status(error: APIStatusError, endpoint: Endpoint, key: str) -> Exception:
    status, said = error.status_code, _excerpt(error.body if error.body else "", key)
    if status in (401, 403):
        return wrong_key(endpoint)
    if status == 404 and "model" in said.lower():
        return unknown_model(endpoint, ())
    if 300 <= status < 400:
        return TroubleError("The endpoint answers with a redirect, which is not followed.")
    may_pass = status >= 500 or status in _PASSING_STATUS
    trouble = TroubleError(
        f"The endpoint answers with status {status}: {said or 'no more'}",
        may_pass=may_pass,
        retry_after_seconds=_retry_after(error.response),
    )
    return trouble if may_pass and status != 500 else _overflow_in(error.body, said) or trouble


def _overflow_in(body: object, said: str) -> ContextOverflowError | None:
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    if not _OVERFLOW.search(f"{said} {fields.get('type')} {fields.get('code')}"):
        return None
    count, named = fields.get("n_prompt_tokens"), _PROMPT_TOKENS.search(said)
    known = count if isinstance(count, int) else int(named.group(1) or named.group(2)) if named else 0
    return ContextOverflowError(f"The endpoint says: {said}", known)


def _retry_after(response: httpx2.Response) -> float:
    text = response.headers.get("retry-after", "")[:40]
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0


def _excerpt(value: object, key: str) -> str:
    """What a server says, short, on one line, and without the key."""
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        value = value["message"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, default=str)
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _EXCERPT])
    return (plain.replace(key, "***") if key else plain)[:_EXCERPT]
