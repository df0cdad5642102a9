"""Requests to a gateway and its answers: what the blocking client and the asynchronous one share."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from ui.cli.connection.errors import GatewayError
from ui.cli.connection.settings import DEFAULT_URL, key_of_environment, url_of_environment
from ui.shared.jobs import FINAL_STATES

if TYPE_CHECKING:
    # Help comes sooner without them.
    import httpx2
    from tenacity import RetryCallState

Document = dict[str, Any]
# What a request is answered with: a document, or an awaitable of one.
AnswerT = TypeVar("AnswerT")
# A comparison of large runs may take two minutes.
_TIMEOUT_SECONDS = 150.0
_JSON, _JSONL, _BYTES = "application/json", "application/jsonl", "application/octet-stream"


@dataclass(frozen=True)
class Event:
    """One server-sent event; type `ping` has no body and says only that the stream lives."""

    type: str
    body: Document


@dataclass(frozen=True)
class Request:
    """One request; a repeatable one does no harm when it is sent again."""

    method: str
    target: str
    content: bytes | None = None
    content_type: str = ""
    is_repeatable: bool = False


class Endpoint(Generic[AnswerT]):
    """A gateway at a URL; every method raises GatewayError when it does not get what it asked for.

    Attributes:
        RETRY_SECONDS: How long a request that is safe to repeat is repeated where nobody says otherwise.
    """

    RETRY_SECONDS: ClassVar[float] = 0.0

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, retry_seconds: float | None = None
    ) -> None:
        """Name a gateway.

        Args:
            url: Its address; by default the variable DRILLYARD_URL, else this machine's gateway.
            api_key: By default the variable DRILLYARD_API_KEY.
            retry_seconds: How long a request that is safe to repeat is repeated while the gateway is away or busy.
        """
        url = url_of_environment() if url is None else url
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            # The error names no password that stands in it.
            url = url.rpartition("@")[2]
            raise GatewayError("INVALID_ARGUMENT", f"{url!r} is not an HTTP address.", f"Give one like {DEFAULT_URL}.")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        key = (key_of_environment() if api_key is None else api_key).strip()
        if not (key.isascii() and key.isprintable()):
            problem = "The API key has characters that none has."
            raise GatewayError("INVALID_ARGUMENT", problem, "Copy it again from where it was made.")
        self._retry_seconds = self.RETRY_SECONDS if retry_seconds is None else retry_seconds
        # What the machine trusts, as OpenSSL's variables say; a proxy of the environment is for other hosts than this.
        self._options: Any = {
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "timeout": _TIMEOUT_SECONDS,
            "verify": ssl.create_default_context() if parts.scheme == "https" else False,
            "trust_env": False,
        }

    def request(self, request: Request) -> AnswerT:
        """Send a request and return the document that answers it."""
        raise NotImplementedError

    def get(self, path: str, **query: Any) -> AnswerT:
        """Return the document at `path`, below `/api/v1`."""
        return self.request(Request("GET", target_of(path, query), is_repeatable=True))

    def post(self, path: str, body: Document | None = None, **query: Any) -> AnswerT:
        """Post a JSON body and return the answer; one with a `request_id` is safe to repeat."""
        content = json.dumps(body or {}).encode()
        return self.request(Request("POST", target_of(path, query), content, _JSON, "request_id" in (body or {})))

    def put(self, path: str, body: Document) -> AnswerT:
        """Put a JSON body at `path` and return the answer."""
        return self.request(Request("PUT", target_of(path, {}), json.dumps(body).encode(), _JSON))

    def delete(self, path: str) -> AnswerT:
        """Delete what is at `path`."""
        return self.request(Request("DELETE", target_of(path, {})))

    def upload(self, path: str, content: bytes, **query: Any) -> AnswerT:
        """Post JSONL and return the answer."""
        return self.request(Request("POST", target_of(path, query), content, _JSONL, "request_id" in query))

    def send(self, path: str, content: bytes, **query: Any) -> AnswerT:
        """Put a file's bytes at `path` and return the answer."""
        return self.request(Request("PUT", target_of(path, query), content, _BYTES))

    def _sent(self, request: Request) -> Any:
        """Return what HTTP libraries take for a request."""
        headers = {"Content-Type": request.content_type} if request.content_type else {}
        url = self.url + request.target
        return {"method": request.method, "url": url, "content": request.content, "headers": headers}

    def _retry_options(self, seconds: float | None = None) -> Any:
        from tenacity import retry_if_exception, stop_before_delay, wait_random_exponential

        pauses = wait_random_exponential(multiplier=0.2, max=5.0)
        return {
            "retry": retry_if_exception(lambda error: isinstance(error, GatewayError) and error.may_pass),
            "stop": stop_before_delay(self._retry_seconds if seconds is None else seconds),
            "wait": lambda state: max(pauses(state), _asked_pause(state)),
            "reraise": True,
        }

    def _away(self, error: Exception) -> GatewayError:
        refused = _is_refused(error)
        problem = f"No gateway answers at {self.url}." if refused else f"The gateway at {self.url} broke off: {error}."
        return GatewayError("UNAVAILABLE", problem, "Start one with `drillyard up`, or name another with --url.")


class EventReader:
    """Makes events of the lines of a stream; a `ping` comes every few seconds of silence."""

    def __init__(self, after_sequence: int) -> None:
        self.after_sequence = after_sequence
        self.is_final = False
        self._type = "message"
        self._lines: list[str] = []

    def begin(self) -> None:
        """Forget the half of an event with which a stream broke off."""
        self._type, self._lines = "message", []

    def read(self, line: str) -> Event | None:
        """Take the next line, and return the event that ends with it.

        Raises:
            GatewayError: The gateway says that the stream broke.
        """
        name, _, value = line.partition(": ")
        if not line and self._lines:
            event = Event(self._type, json.loads("\n".join(self._lines)))
            self._type, self._lines = "message", []
            if event.type == "problem":
                raise GatewayError(event.body["code"], event.body["problem"], event.body["next_step"])
            self.after_sequence = int(event.body.get("sequence", self.after_sequence))
            self.is_final = event.type == "state" and event.body["state"]["state"] in FINAL_STATES
            return event
        if line.startswith(":"):
            return Event("ping", {})
        if name == "event":
            self._type = value
        elif name == "data":
            self._lines.append(value)
        return None


def target_of(path: str, query: Mapping[str, Any]) -> str:
    """Return what a request line has for a path below `/api/v1`; a parameter that is None or empty is left out."""
    values = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value not in (None, "", [], ())
    }
    return f"/api/v1{quote(path, safe='/@:')}" + (f"?{urlencode(values)}" if values else "")


def refuse_problem(response: httpx2.Response) -> None:
    """Raise the error of an answer that is none; its content has been read."""
    if response.is_success:
        return
    if response.has_redirect_location:
        problem = f"{response.request.url.host} answers with a redirect to {response.headers['location'][:200]}."
        raise GatewayError("FAILED_PRECONDITION", problem, "Name that address with --url.", response.status_code)
    try:
        body = response.json()
        wait = float(response.headers.get("retry-after", 0))
        raise GatewayError(body["code"], body["problem"], body["next_step"], response.status_code, wait)
    except (ValueError, KeyError, TypeError):
        target = response.request.url.raw_path.decode()
        problem = f"The server answered {response.status_code} to {target}, in a form that is not the gateway's."
        next_step = "Check that --url names a Drillyard gateway."
        raise GatewayError("UNAVAILABLE", problem, next_step, response.status_code) from None


def place_of(response: httpx2.Response, out: Path) -> Path:
    """Return where a file is written that comes with a name: `out`, or in it when it is a folder."""
    match = re.search(r'filename="([A-Za-z0-9._-]+)"', response.headers.get("content-disposition", ""))
    name = Path(match[1]).name.lstrip(".") if match else "export"
    return out / name if out.is_dir() else out


def _asked_pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_seconds if isinstance(error, GatewayError) else 0.0


def _is_refused(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ConnectionRefusedError | socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False
