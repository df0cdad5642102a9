"""The command line's connection to a gateway, made of the standard library so that commands start at once."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from services.chassis.machine.files import written_whole

Document = dict[str, Any]
_CHUNK_BYTES = 1 << 16
DEFAULT_URL = "http://127.0.0.1:7860"
# A comparison of large runs may take two minutes.
_TIMEOUT_SECONDS = 150.0


class GatewayError(Exception):
    """The gateway refused, or did not answer."""

    def __init__(self, code: str, problem: str, next_step: str) -> None:
        super().__init__(f"{problem} {next_step}".rstrip())
        self.code = code
        self.problem = problem
        self.next_step = next_step

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed in a moment."""
        return self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


@dataclass(frozen=True)
class Event:
    """One server-sent event; type `ping` has no body and says only that the stream lives."""

    type: str
    body: Document


class Gateway:
    """A gateway at a URL; every method raises GatewayError when it does not get what it asked for."""

    def __init__(self, url: str = DEFAULT_URL, api_key: str = "") -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GatewayError("INVALID_ARGUMENT", f"{url!r} is not an HTTP address.", f"Give one like {DEFAULT_URL}.")
        self._path = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._parts = parts
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def get(self, path: str, **query: Any) -> Document:
        """Return the document at `path`, below `/api/v1`."""
        return self._json("GET", _target(path, query))

    def post(self, path: str, body: Document | None = None, **query: Any) -> Document:
        """Post a JSON body and return the answer."""
        return self._json("POST", _target(path, query), json.dumps(body or {}).encode(), "application/json")

    def put(self, path: str, body: Document) -> Document:
        """Put a JSON body at `path` and return the answer."""
        return self._json("PUT", _target(path, {}), json.dumps(body).encode(), "application/json")

    def delete(self, path: str) -> Document:
        """Delete what is at `path`."""
        return self._json("DELETE", _target(path, {}))

    def upload(self, path: str, content: bytes, **query: Any) -> Document:
        """Post JSONL and return the answer."""
        return self._json("POST", _target(path, query), content, "application/jsonl")

    def send(self, path: str, content: bytes, **query: Any) -> Document:
        """Put a file's bytes at `path` and return the answer."""
        return self._json("PUT", _target(path, query), content, "application/octet-stream")

    def every(self, path: str, field: str, limit: int = 1000, **query: Any) -> list[Document]:
        """Return the entries of all pages of a list, at most `limit`."""
        documents: list[Document] = []
        token = ""
        while True:
            page = self.get(path, **query, page_size=min(200, limit), page_token=token)
            documents += page[field]
            token = page["next_page_token"]
            if not token or len(documents) >= limit:
                return documents[:limit]

    def events(self, path: str) -> Iterator[Event]:
        """Yield the events of a stream until it ends; a `ping` comes every few seconds of silence."""
        connection = self._connect()
        try:
            response = self._send(connection, "GET", _target(path, {}))
            yield from _events(response)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from None
        finally:
            connection.close()

    def download(self, path: str, out: Path, **query: Any) -> Path:
        """Write a file to `out`, whole or not at all, and return its path; a folder gets the name that it comes with.

        Raises:
            OSError: It cannot be written there.
        """
        connection = self._connect()
        try:
            response = self._send(connection, "GET", _target(path, query))
            place = out / _file_name(response) if out.is_dir() else out
            with written_whole(place) as file:
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
            return place
        except http.client.HTTPException as error:
            raise self._away(error) from None
        finally:
            connection.close()

    def _json(self, method: str, target: str, body: bytes | None = None, content_type: str = "") -> Document:
        connection = self._connect()
        try:
            response = self._send(connection, method, target, body, content_type)
            document: Document = json.loads(response.read())
            return document
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._away(error) from None
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=_TIMEOUT_SECONDS)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None = None,
        content_type: str = "",
    ) -> http.client.HTTPResponse:
        headers = {**self._headers, **({"Content-Type": content_type} if content_type else {})}
        connection.request(method, self._path + target, body, headers)
        response = connection.getresponse()
        if response.status >= 400:
            raise _problem(response, target)
        return response

    def _away(self, error: Exception) -> GatewayError:
        refused = isinstance(error, ConnectionRefusedError | socket.gaierror)
        problem = f"No gateway answers at {self.url}." if refused else f"The gateway at {self.url} broke off: {error}."
        return GatewayError("UNAVAILABLE", problem, "Start one with `drillyard up`, or name another with --url.")


def _target(path: str, query: Document) -> str:
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items() if value}
    return f"/api/v1{quote(path, safe='/@:')}" + (f"?{urlencode(values)}" if values else "")


def _file_name(response: http.client.HTTPResponse) -> str:
    match = re.search(r'filename="([A-Za-z0-9._-]+)"', response.getheader("content-disposition", ""))
    return Path(match[1]).name.lstrip(".") if match else "export"


def _problem(response: http.client.HTTPResponse, target: str) -> GatewayError:
    try:
        body = json.loads(response.read())
        return GatewayError(body["code"], body["problem"], body["next_step"])
    except (ValueError, KeyError, TypeError):
        problem = f"The server answered {response.status} to {target}, in a form that is not the gateway's."
        return GatewayError("UNAVAILABLE", problem, "Check that --url names a Drillyard gateway.")


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    kind = "message"
    lines: list[str] = []
    for raw in response:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = line.partition(": ")
        if not line and lines:
            yield Event(kind, json.loads("\n".join(lines)))
            kind, lines = "message", []
        elif line.startswith(":"):
            yield Event("ping", {})
        elif name == "event":
            kind = value
        elif name == "data":
            lines.append(value)
