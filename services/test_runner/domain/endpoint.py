"""Served models: any server that speaks OpenAI's chat completions."""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from services.chassis.errors import InvalidArgument

# One strict form, so that no two parsers read one URL in two ways: no user, no query, no escapes, no backslash.
_URL = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?((?:/[A-Za-z0-9_.~-]+)*)/?"
)
_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OWN_FIELDS = frozenset(("model", "messages", "prompt", "stream", "stream_options", "n", "echo"))
_MAX_STOPS = 16
_MAX_STOP_CHARACTERS = 1024
_MAX_BODY_CHARACTERS = 16 << 10
_MAX_URL_CHARACTERS = 500
_MAX_MODEL_CHARACTERS = 300


class TryOutcome(StrEnum):
    """What came of one try of a prompt at an endpoint."""

    ANSWERED = "answered"
    TOO_LONG = "too_long"
    REFUSED = "refused"
    RETRIED = "retried"
    FAILED = "failed"


class Departure(StrEnum):
    """A way in which a server's answer departs from OpenAI's form, though it can be read."""

    SHARED_INDEX = "shared_index"
    OBJECT_ARGUMENTS = "object_arguments"
    FUNCTION_CALL = "function_call"
    MESSAGE = "message"
    TEXT = "text"
    CONTENT_PARTS = "content_parts"
    REFUSAL = "refusal"

    @property
    def sentence(self) -> str:
        """What the server does, for a person."""
        return f"The endpoint {_DEPARTURES[self]}."


_DEPARTURES: Mapping[Departure, str] = {
    Departure.SHARED_INDEX: "sends several calls under one index, or without one",
    Departure.OBJECT_ARGUMENTS: "sends the arguments of a call as an object instead of text",
    Departure.FUNCTION_CALL: "sends a call as function_call instead of tool_calls",
    Departure.MESSAGE: "sends message instead of delta",
    Departure.TEXT: "sends text instead of delta",
    Departure.CONTENT_PARTS: "sends the content as a list of parts instead of text",
    Departure.REFUSAL: "sends the answer as a refusal",
}


class ToolMode(StrEnum):
    """How functions are offered to an endpoint's model; unspecified is as the profile asks."""

    UNSPECIFIED = "profile"
    NATIVE = "native"
    PROMPT = "prompt"


@dataclass(frozen=True)
class Endpoint:
    """A served model; defaults and bounds of its fields, and what they mean, stand in the contract."""

    MESSAGE: ClassVar = "drillyard.test_runner.v1.test_run_pb2.Endpoint"

    base_url: str
    model: str
    api_key_secret: str
    tool_mode: ToolMode
    num_ctx: int
    stop: tuple[str, ...]
    extra_body: str
    max_concurrency: int

    def check(self, owner: str = "") -> None:
        """Return when every value can be used.

        Raises:
            InvalidArgument: One cannot; the error names the field, behind `owner`.
        """
        self._check_url(f"{owner}endpoint.base_url")
        if not 0 < len(self.model) <= _MAX_MODEL_CHARACTERS or not self.model.isprintable():
            raise InvalidArgument(
                "The endpoint's model has no name, or one that cannot be.",
                f"Name a model that {self.base_url}/models lists.",
                field=f"{owner}endpoint.model",
            )
        if self.api_key_secret and not _SECRET.fullmatch(self.api_key_secret):
            raise InvalidArgument(
                "The name of the endpoint's secret is none.",
                "Use the name of a secret, not the key: letters, digits, dashes and underscores.",
                field=f"{owner}endpoint.api_key_secret",
            )
        check_stops(f"{owner}endpoint.stop", self.stop)
        self.extra_fields(owner)

    def extra_fields(self, owner: str = "") -> Mapping[str, Any]:
        """Return what is merged into each request's body.

        Raises:
            InvalidArgument: It is no JSON object, too long, or says what the run itself decides.
        """
        field = f"{owner}endpoint.extra_body"
        if not self.extra_body:
            return {}
        try:
            body = json.loads(self.extra_body) if len(self.extra_body) <= _MAX_BODY_CHARACTERS else None
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise InvalidArgument(
                "The endpoint's extra body is not a JSON object of at most 16 KiB.",
                'Write it such as {"chat_template_kwargs": {"enable_thinking": false}}.',
                field=field,
            )
        own_fields = sorted(_OWN_FIELDS & body.keys())
        if own_fields:
            raise InvalidArgument(
                f"The endpoint's extra body sets {own_fields[0]}, which the run decides.",
                f"Leave {own_fields[0]} out.",
                field=field,
            )
        return body

    @property
    def host(self) -> str:
        """The URL's host in lower case, without port and brackets."""
        match = _URL.fullmatch(self.base_url)
        return match.group(2).strip("[]").lower() if match else ""

    @property
    def root_url(self) -> str:
        """The URL without a final `/v1`, where servers answer what is not OpenAI's."""
        return self.base_url.rstrip("/").removesuffix("/v1")

    def _check_url(self, field: str) -> None:
        match = _URL.fullmatch(self.base_url) if len(self.base_url) <= _MAX_URL_CHARACTERS else None
        if match is None or not _is_host(match.group(2)) or int((match.group(3) or ":1")[1:]) not in range(1, 65536):
            raise InvalidArgument(
                "The endpoint's base URL is none that can be used.",
                "Write it such as http://127.0.0.1:8080/v1: http or https, without user and query; keys are secrets.",
                field=field,
            )


def check_stops(field: str, stops: tuple[str, ...]) -> None:
    """Return when these texts can end an answer.

    Raises:
        InvalidArgument: They are too many, or one is empty or too long; the error names the field.
    """
    if len(stops) > _MAX_STOPS or not all(0 < len(stop) <= _MAX_STOP_CHARACTERS for stop in stops):
        raise InvalidArgument(
            f"{field} has too many texts, or one that is empty or too long.",
            f"Give at most {_MAX_STOPS} texts of 1 to {_MAX_STOP_CHARACTERS} characters.",
            field=field,
        )


def _is_host(host: str) -> bool:
    # "2130706433" and "0177.0.0.1" are addresses to some parsers and names to others.
    if host.startswith("[") or host.rpartition(".")[2].isdigit():
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
    return ".." not in host
