"""The worker's standard input and output."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import BinaryIO

from services.lm import worker_protocol as protocol
from services.lm.errors import LmError


class Lines:
    """Requests from standard input, read by a thread of their own; the process exits when the input ends."""

    def __init__(self, stream: BinaryIO, send: Callable[[protocol.Event], None]) -> None:
        """Start reading."""
        self._stream, self._send = stream, send
        self._requests: queue.Queue[protocol.Generate | protocol.Preview] = queue.Queue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def next(self) -> protocol.Generate | protocol.Preview:
        """The next request, waiting for it."""
        return self._requests.get()

    def is_cancelled(self, request_id: int) -> bool:
        """Whether a `Cancel` for this request has come."""
        return request_id in self._cancelled

    def _read(self) -> None:
        while line := self._stream.readline(protocol.MAX_LINE_BYTES + 1):
            if len(line) > protocol.MAX_LINE_BYTES:
                self._send(
                    protocol.Failed(0, "invalid_argument", "The line is too long.", "Send fewer prompts at once.")
                )
                break
            self._take(line)
        os._exit(0)

    def _take(self, line: bytes) -> None:
        try:
            request = protocol.decode_request(line)
        except LmError as error:
            self._send(protocol.Failed(0, "invalid_argument", error.problem, error.next_step))
            return
        if isinstance(request, protocol.Cancel):
            self._cancelled.add(request.id)
        else:
            self._requests.put(request)


def claim_output() -> Callable[[protocol.Event], None]:
    """A function that writes events to standard output; everything else that is printed goes to standard error."""
    stream = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(event: protocol.Event) -> None:
        with lock:
            stream.write(protocol.encode(event))

    return send
