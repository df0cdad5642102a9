"""Bounded questions to an endpoint beside OpenAI's chat."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from services.test_runner.domain.endpoint import Endpoint

_QUICK_SECONDS: Final = 15.0
_ANSWER_SECONDS: Final = 60.0
_MAX_SHOWN_CHARACTERS: Final = 300


class NotReached(Exception):
    """Nothing answers at the address, or too slowly, or without end."""


@dataclass(frozen=True)
class Reply:
    """What came back: the status, the JSON object of the body or an empty one, and the body's beginning."""

    status: int
    body: dict[str, Any]
    text: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the server did what it was asked."""
        return self.status == httpx2.codes.OK


class EndpointRequests:
    """Asks one endpoint with its key; the client bounds what is read."""

    def __init__(self, client: httpx2.AsyncClient, endpoint: Endpoint, key: str) -> None:
        self.endpoint = endpoint
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        """Return the reply to a POST of JSON to a server's own route, which lies beside the `/v1`.

        Raises:
            NotReached: There is none in time.
        """
        return await self._post(self.endpoint.root_url + path, body, _QUICK_SECONDS)

    async def answer(self, body: dict[str, Any]) -> Reply:
        """Return the reply to a chat completion, which takes longer.

        Raises:
            NotReached: There is none in time.
        """
        return await self._post(f"{self.endpoint.base_url.rstrip('/')}/chat/completions", body, _ANSWER_SECONDS)

    async def _post(self, url: str, body: dict[str, Any], seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.post(url, json=body, headers=self._headers)
        except TimeoutError as error:
            raise NotReached(f"it was silent for {seconds:.0f} s") from error
        except httpx2.HTTPError as error:
            raise NotReached(str(error).rstrip(".") or type(error).__name__) from error
        shown = response.content[:_MAX_SHOWN_CHARACTERS].decode("utf-8", "replace")
        return Reply(response.status_code, _object(response.content), shown)


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
