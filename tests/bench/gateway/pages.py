"""Pages as a browser has them open: what it sends when a page is opened, and every few seconds from then on."""

from __future__ import annotations

import asyncio
import json
import random
import re
import uuid
from typing import Any, Final

import httpx
import psutil

TIMEOUT: Final = 900.0


class OpenPage:
    """A page at a gateway.

    Attributes:
        num_questions: How often its timers have asked.
        num_failures: How often a connection broke meanwhile.
    """

    def __init__(self, client: httpx.AsyncClient, html: str, query: str) -> None:
        found = re.search(r"window\.gradio_config = (\{.*?\});</script>", html, re.DOTALL)
        assert found
        config = json.loads(found[1])
        self._client, self._query, self._session = client, query, uuid.uuid4().hex[:11]
        self._values = {item["id"]: item["props"].get("value") for item in config["components"]}
        self._events = [event for event in config["dependencies"] if event["backend_fn"]]
        self._ticks = {event["targets"][-1][0]: event for event in self._of("tick")}
        self.num_questions = self.num_failures = 0

    @property
    def intervals(self) -> list[float]:
        """Seconds between two questions of each of its timers, as the gateway last told them."""
        return [self._values[timer] for timer in self._ticks]

    async def open(self) -> None:
        """Ask for what it shows first."""
        for event in self._of("load"):
            await self._ask(event)
        await self.tick()

    async def tick(self) -> None:
        """Ask for what it shows now."""
        for event in self._ticks.values():
            await self._ask(event)

    async def stay(self) -> None:
        """Ask for what it shows whenever it is time, as a page does that is seen, until this is cancelled."""
        await asyncio.gather(*(self._keep_fresh(timer, event) for timer, event in self._ticks.items()))

    async def _keep_fresh(self, timer: int, event: dict[str, Any]) -> None:
        # People do not open their pages at once.
        await asyncio.sleep(random.uniform(0, self._values[timer]))
        while True:
            try:
                await self._ask(event)
                self.num_questions += 1
            except httpx.TransportError:
                self.num_failures += 1
            await asyncio.sleep(self._values[timer])

    def _of(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self._events if any(target[1] == name for target in event["targets"])]

    async def _ask(self, event: dict[str, Any]) -> None:
        asked = {
            "data": [self._values.get(number) for number in event["inputs"]],
            "event_data": None,
            "fn_index": event["id"],
            "trigger_id": event["targets"][0][0],
            "session_hash": self._session,
        }
        (await self._client.post(f"/gradio_api/queue/join?{self._query}", json=asked)).raise_for_status()
        stream = self._client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self._session})
        async with stream as response:
            async for line in response.aiter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    self._take(event, message)
                if message.get("msg") == "close_stream":
                    return

    def _take(self, event: dict[str, Any], message: dict[str, Any]) -> None:
        if not message["success"]:
            raise SystemExit(f"{event['id']}: {message}")
        for number, value in zip(event["outputs"], message["output"]["data"], strict=True):
            is_update = isinstance(value, dict) and value.get("__type__") == "update"
            if not is_update or "value" in value:
                self._values[number] = value["value"] if is_update else value


def busy_seconds() -> float:
    """Return the processor time of all processes that this one started and that still run."""
    return sum(sum(process.cpu_times()[:2]) for process in psutil.Process().children(recursive=True))
