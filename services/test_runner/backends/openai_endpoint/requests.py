"""Bounded questions to an endpoint beside answers that are streamed."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from services.chassis.machine.guarded_http import ForbiddenAddressError
from services.test_runner.backends.openai_endpoint.failures import forbidden
from services.test_runner.backends.openai_endpoint.json_values import list_in, mapping_in
from services.test_runner.domain.endpoint import Endpoint

_QUICK_SECONDS: Final = 15.0
_ANSWER_SECONDS: Final = 60.0
_MAX_SHOWN_CHARACTERS: Final = 300


class NotReached(Exception):
    """No reply: too slow, too long, or broken off."""


class NoServer(NotReached):
    """Nothing listens at the address."""


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        body: The JSON object of the body, or an empty one.
        text: The body's beginning.
        entries: The body's JSON list, or an empty one.
    """

    status: int
    body: Mapping[str, Any]
    text: str = ""
    entries: Sequence[Any] = ()

    @property
    def succeeded(self) -> bool:
        """Whether the server did what it was asked."""
        return self.status == httpx2.codes.OK


class EndpointRequests:
    """Asks one endpoint with its key; the client bounds what is read.

    Every method raises NotReached when there is no reply in time, and PermissionDenied when the endpoint's name leads
    to an address that is never asked.
    """

    def __init__(self, client: httpx2.AsyncClient, endpoint: Endpoint, key: str) -> None:
        self.endpoint = endpoint
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def models(self) -> Reply:
        """Return the models that the endpoint lists."""
        return await self._reply("GET", f"{self.endpoint.base_url.rstrip('/')}/models", None, _QUICK_SECONDS)

    async def answer(self, body: Mapping[str, Any]) -> Reply:
        """Return the reply to a chat completion, which takes longer."""
        url = f"{self.endpoint.base_url.rstrip('/')}/chat/completions"
        return await self._reply("POST", url, body, _ANSWER_SECONDS)

    async def get(self, path: str) -> Reply:
        """Return the reply of a server's own route, which lies beside the `/v1`."""
        return await self._reply("GET", self.endpoint.root_url + path, None, _QUICK_SECONDS)

    async def post(self, path: str, body: Mapping[str, Any], *, seconds: float = _QUICK_SECONDS) -> Reply:
        """Return the reply to a POST of JSON to a server's own route."""
        return await self._reply("POST", self.endpoint.root_url + path, body, seconds)

    async def _reply(self, method: str, url: str, body: Mapping[str, Any] | None, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.request(method, url, json=body, headers=self._headers)
        except TimeoutError as error:
            raise NotReached(f"it was silent for {seconds:.0f} s") from error
        except ForbiddenAddressError as error:
            raise forbidden(self.endpoint) from error
        except httpx2.ConnectError as error:
            raise NoServer(f"No server answers at {self.endpoint.base_url}.") from error
        except httpx2.HTTPError as error:
            raise NotReached(str(error).rstrip(".") or type(error).__name__) from error
        text = response.content[:_MAX_SHOWN_CHARACTERS].decode("utf-8", "replace")
        body_json = _json(response.content)
        return Reply(response.status_code, mapping_in(body_json), text, list_in(body_json))


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
