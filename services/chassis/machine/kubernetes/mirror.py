"""A copy of a cluster's objects: listed, then watched, and listed again when the watch breaks or falls silent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import structlog

from services.chassis.errors import ServiceError
from services.chassis.machine.kubernetes.client import GONE, GoneError, KubernetesClient, Manifest
from services.chassis.waiting import keep_going

_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 30.0
_SILENCE_SECONDS = 10.0
_log = structlog.get_logger()


class Mirror:
    """The objects of one kind that a label selects, by name.

    Two calls follow any number of objects: a list, and a watch that the cluster ends after `resync_seconds`. A
    connection that died without a word is noticed by then, and whatever was missed is in the next list.

    Args:
        client: The cluster.
        call: The API class, the method that lists, and what it takes.
        selector: The label selector.
        resync_seconds: How long a watch lasts at most.
    """

    def __init__(self, client: KubernetesClient, *call: str, selector: str, resync_seconds: int = 60) -> None:
        self.objects: dict[str, Manifest] = {}
        self.is_known = False
        self.error: ServiceError | None = None
        self._client = client
        self._call = call
        self._selector = selector
        self._resync_seconds = resync_seconds
        self._changed = asyncio.Condition()
        self._following: asyncio.Task[None] | None = None
        self._response: Any = None

    def start(self) -> None:
        """Follow from now on; while it does, nothing happens, and what errors have ended is begun again."""
        if self._following is None or self._following.done():
            follow = keep_going("follow_cluster", self._follow, pause_seconds=_PAUSE_SECONDS)
            self._following = asyncio.create_task(follow)

    async def close(self) -> None:
        """Follow no more."""
        if self._response is not None:
            self._response.shutdown()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def wait_for_change(self, seconds: float) -> None:
        """Return when an object has changed, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _follow(self) -> None:
        pause = _PAUSE_SECONDS
        while True:
            try:
                version = await self._list()
                pause = _PAUSE_SECONDS
                await asyncio.gather(self._watch(version), asyncio.sleep(_PAUSE_SECONDS))
            except GoneError:
                continue
            except ServiceError as error:
                self.error = error
                _log.warning("cluster_not_followed", reason=str(error))
                await self._tell()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    async def _list(self) -> str:
        listing = await self._client.call(*self._call, label_selector=self._selector)
        assert listing is not None
        self.objects = {item["metadata"]["name"]: item for item in listing.get("items") or ()}
        self.is_known, self.error = True, None
        await self._tell()
        return str(listing["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> None:
        """Take events until the watch ends."""
        events: asyncio.Queue[Manifest | Exception | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(event: Manifest | Exception | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, event)

        # No thread of the pool: what waits for a silent cluster must not keep this process from ending.
        threading.Thread(target=self._read, args=(version, put), name="cluster-watch", daemon=True).start()
        while (event := await events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            self._take(event)
            await self._tell()

    def _read(self, version: str, put: Callable[[Manifest | Exception | None], None]) -> None:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        options: dict[str, Any] = {"watch": True, "label_selector": self._selector, "resource_version": version}
        silence_seconds = self._resync_seconds + _SILENCE_SECONDS
        try:
            self._response = self._client.open_stream(
                *self._call, silence_seconds=silence_seconds, timeout_seconds=self._resync_seconds, **options
            )
            rest = b""
            for chunk in self._response.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    put(json.loads(line))
        except ApiException:
            # The list that follows says what is wrong.
            pass
        except (HTTPError, OSError, ValueError) as error:
            _log.info("cluster_watch_broke", reason=repr(error))
        except Exception as error:
            # The thread's boundary: it is raised where the events are taken.
            put(error)
        finally:
            put(None)

    def _take(self, event: Manifest) -> None:
        item = event["object"]
        if event["type"] == "ERROR":
            if item.get("code") == GONE:
                raise GoneError
            _log.warning("cluster_watch_refused", reason=item.get("message"))
        elif event["type"] == "DELETED":
            self.objects.pop(item["metadata"]["name"], None)
        elif event["type"] in ("ADDED", "MODIFIED"):
            self.objects[item["metadata"]["name"]] = item

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
