"""Uploads that come at once are kept a few at a time, and refused for now when too many wait."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.artifacts import Artifact
from services.chassis.errors import Busy
from ui.gateway.errors import service_error_response
from ui.gateway.uploads import MAX_RUNNING, MAX_WAITING, Uploads


class SlowStore:
    """Keeps nothing until it is let go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.num_running = 0

    async def put_bytes(self, content: bytes, _media_type: str) -> Artifact:
        self.num_running += 1
        await self.go_on.wait()
        return Artifact("file:///kept", "sha256:kept", len(content))


async def test_more_uploads_than_may_wait_are_told_to_come_again() -> None:
    store = SlowStore()
    uploads = Uploads(store)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(uploads.keep(b"text")) for _ in range(MAX_RUNNING + MAX_WAITING)]
    await asyncio.sleep(0.01)
    assert store.num_running == MAX_RUNNING
    with pytest.raises(Busy) as refusal:
        await uploads.keep(b"text")
    response = service_error_response(refusal.value)
    assert response.status_code == 429 and int(response.headers["Retry-After"]) > 0
    store.go_on.set()
    assert len(await asyncio.gather(*tasks)) == MAX_RUNNING + MAX_WAITING
