"""A cluster's API in this process: what it holds is changed by the test, and it breaks when it is told to."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Iterator
from typing import Any

from services.chassis.machine.kubernetes.client import Manifest

_CALLS = {"namespaced_custom_object": "rayjobs", "namespaced_job": "jobs", "namespaced_pod": "pods"}


class FakeCluster:
    """Takes the place of a KubernetesClient.

    Attributes:
        objects: By kind and name.
        faults: Raised by the next calls of a method's verb, in their order.
        calls: The methods that were called.
        hold: Until it is set, an object is under way; as in a thread, no cancel stops that.
    """

    namespace = "drilling"

    def __init__(self, *, has_kuberay: bool = True) -> None:
        self.objects: dict[str, dict[str, Manifest]] = {"rayjobs": {}, "jobs": {}, "pods": {}}
        self.events: list[Manifest] = []
        self.logs: dict[str, str] = {}
        self.faults: dict[str, list[Exception]] = {}
        self.calls: list[str] = []
        self.watches: dict[str, list[_Stream]] = {"rayjobs": [], "jobs": [], "pods": []}
        self._history: dict[str, list[bytes]] = {"rayjobs": [], "jobs": [], "pods": []}
        self.hold: asyncio.Event | None = None
        self._has_kuberay = has_kuberay

    def put(self, kind: str, item: Manifest) -> None:
        """Make or change an object, and tell it to those that watch."""
        type_ = "MODIFIED" if item["metadata"]["name"] in self.objects[kind] else "ADDED"
        self.objects[kind][item["metadata"]["name"]] = item
        self.tell(kind, type_, item)

    def drop(self, kind: str, name: str) -> None:
        """Remove an object, and what belongs to it."""
        item = self.objects[kind].pop(name, None)
        if item is not None:
            self.tell(kind, "DELETED", item)

    def tell(self, kind: str, type_: str, item: Manifest) -> None:
        """Send an event to those that watch a kind."""
        line = json.dumps({"type": type_, "object": item}).encode() + b"\n"
        self._history[kind].append(line)
        for stream in self.watches[kind]:
            stream.lines.put(line)

    async def has_resource(self, group: str, version: str, plural: str) -> bool:
        return self._has_kuberay

    async def call(self, api: str, method: str, *arguments: Any, absent: int = 0, **more: Any) -> Manifest | None:
        self.calls.append(method)
        verb, _, rest = method.partition("_")
        if faults := self.faults.get(verb):
            raise faults.pop(0)
        if rest == "namespaced_event":
            return {"items": self.events}
        kind = _CALLS[rest]
        if verb == "create":
            return await asyncio.shield(asyncio.ensure_future(self._made(kind, arguments[-1])))
        if verb == "delete":
            self.drop(kind, arguments[-1] if kind == "rayjobs" else arguments[0])
            return {}
        version = {"resourceVersion": str(len(self._history[kind]))}
        return {"items": self._selected(kind, more["label_selector"]), "metadata": version}

    def open_stream(self, api: str, method: str, *arguments: Any, silence_seconds: float, **more: Any) -> _Stream:
        if method == "read_namespaced_pod_log":
            return self._log_of(arguments[0])
        if faults := self.faults.get("watch"):
            raise faults.pop(0)
        kind, stream = _CALLS[method.partition("_")[2]], _Stream()
        for line in self._history[kind][int(more["resource_version"]) :]:
            stream.lines.put(line)
        self.watches[kind].append(stream)
        return stream

    def _log_of(self, pod: str) -> _Stream:
        if faults := self.faults.get("log"):
            raise faults.pop(0)
        stream, text = _Stream(), self.logs.get(pod, "").encode()
        for place in range(0, len(text), 1 << 16):
            stream.lines.put(text[place : place + (1 << 16)])
        stream.lines.put(b"")
        return stream

    async def _made(self, kind: str, item: Manifest) -> Manifest | None:
        if self.hold:
            await self.hold.wait()
        return self._created(kind, item)

    def _created(self, kind: str, item: Manifest) -> Manifest | None:
        if item["metadata"]["name"] in self.objects[kind]:
            return None
        self.put(kind, item)
        return item

    def _selected(self, kind: str, selector: str) -> list[Manifest]:
        labels = dict(term.split("=") for term in selector.split(",")).items()
        return [item for item in self.objects[kind].values() if labels <= item["metadata"]["labels"].items()]


class _Stream:
    """The answer of a watch."""

    def __init__(self) -> None:
        self.lines: queue.Queue[bytes] = queue.Queue()

    def stream(self, size: int) -> Iterator[bytes]:
        while line := self.lines.get():
            yield line

    def shutdown(self) -> None:
        self.lines.put(b"")
