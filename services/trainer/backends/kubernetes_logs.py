"""Files of this machine with what the containers of attempts print, line by line while they print it."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import structlog

from services.chassis.errors import ServiceError
from services.chassis.machine.kubernetes.client import GoneError, KubernetesClient, Manifest, refusal

_MAX_PODS: Final = 8
_MAX_BYTES: Final = 8 << 20
_MAX_LINE_BYTES: Final = 1 << 20
_SILENCE_SECONDS: Final = 300.0
_OVERLAP_SECONDS: Final = 5
_LAST_WORDS_SECONDS: Final = 5.0
_FOR_GOOD: Final = (403, 404)
_NO_LOG: Final = 400
# A kubelet's own words, such as that it has no log any more, bear none.
_STAMP: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*")
_log = structlog.get_logger()


@dataclass
class _Followed:
    """How far the log of a pod is copied.

    Attributes:
        last_stamp: The cluster's time of the last line.
        last_time: When it came, on this machine's monotonic clock.
        is_whole: It was copied to its end, or is refused for good.
    """

    last_stamp: bytes = b""
    last_time: float = field(default_factory=time.monotonic)
    is_whole: bool = False
    thread: threading.Thread | None = None


class PodLogs:
    """Follows the logs of pods that run, each into a file of its attempt's folder."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._followed: dict[Path, dict[str, _Followed]] = {}

    def follow(self, folder: Path, pods: Iterable[Manifest]) -> None:
        """Copy on, to `folder`, what an attempt's pods print: begin with new ones, go on where a connection broke."""
        followed = self._followed.setdefault(folder, {})
        for pod in pods:
            name, phase = pod["metadata"]["name"], (pod.get("status") or {}).get("phase")
            if phase in (None, "Pending") or (name not in followed and len(followed) >= _MAX_PODS):
                continue
            log = followed.setdefault(name, _Followed())
            if log.is_whole or (log.thread and log.thread.is_alive()):
                continue
            # Our container is the first; others, which a cluster may add, would make the call ambiguous.
            place = (name, self._client.namespace)
            container, has_ended = pod["spec"]["containers"][0]["name"], phase != "Running"
            arguments = (folder / f"{name}.log", log, place, container, has_ended)
            # No thread of the pool: what waits for a silent pod must not keep this process from ending.
            log.thread = threading.Thread(target=self._copy, args=arguments, name="pod-log", daemon=True)
            log.thread.start()

    async def finish(self, folder: Path, pods: Iterable[Manifest]) -> None:
        """Copy the last words of pods that have ended, and return when that is done or takes too long."""
        self.follow(folder, pods)
        threads = [log.thread for log in self._followed[folder].values() if log.thread]
        await asyncio.to_thread(_join, threads, time.monotonic() + _LAST_WORDS_SECONDS)

    def forget(self, folder: Path) -> None:
        """Follow no other pod of an attempt; what is followed goes on to its end."""
        self._followed.pop(folder, None)

    def _copy(self, path: Path, log: _Followed, place: tuple[str, str], container: str, has_ended: bool) -> None:
        """Copy lines until the container ends or the connection breaks."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        since = {"since_seconds": int(time.monotonic() - log.last_time) + _OVERLAP_SECONDS} if log.last_stamp else {}
        options: dict[str, Any] = {"container": container, "follow": True, "timestamps": True, **since}
        try:
            response = self._client.open_stream(
                "CoreV1Api", "read_namespaced_pod_log", *place, silence_seconds=_SILENCE_SECONDS, **options
            )
            _write(path, log, response.stream(1 << 16))
            log.is_whole = has_ended
        except ApiException as error:
            words = refusal(error.status, error.body or error.reason)
            # A container that is not ready yet, beside one that is, or a busy cluster is asked again.
            log.is_whole = error.status in _FOR_GOOD or (has_ended and error.status == _NO_LOG)
            _log.info("pod_log_refused", pod=place[0], reason=str(words))
        except (GoneError, ServiceError, HTTPError, OSError) as error:
            # The next look goes on behind the last line.
            _log.info("pod_log_broke", pod=place[0], reason=repr(error))


def _join(threads: Iterable[threading.Thread], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _write(path: Path, log: _Followed, chunks: Iterable[bytes]) -> None:
    """Append lines that are new; of a file that grows too large, the older part goes to another, and then away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = log.last_stamp
    with closing(RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8")) as file:
        for line in _lines(chunks):
            stamp, _, text = line.partition(b" ")
            if stamp > before and _STAMP.fullmatch(stamp):
                _append(file, text.decode(errors="replace"))
                log.last_stamp, log.last_time = stamp, time.monotonic()


def _append(file: RotatingFileHandler, text: str) -> None:
    """Append a line; a full disk, which a handler's own method only prints, is an OSError."""
    if file.shouldRollover(makeLogRecord({"msg": text})):
        file.doRollover()
    assert file.stream is not None
    file.stream.write(f"{text}\n")
    file.flush()


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        rest = rest[:_MAX_LINE_BYTES]
    if rest:
        yield rest
