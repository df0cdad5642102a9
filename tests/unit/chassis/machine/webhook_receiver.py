"""A server of this machine that takes webhooks' notices."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services.chassis.machine.webhooks.signing import signature, signing_key
from tests.machine import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A server that takes notices, and first refuses as many as it should."""

    def __init__(self) -> None:
        self.is_taking: Callable[[str], bool] = lambda message_id: True
        self.taken: list[tuple[dict[str, str], str]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                if not receiver.is_taking(self.headers["webhook-id"]):
                    status = 503
                receiver.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def told(self) -> list[tuple[str, str, Any]]:
        """Return event, kind and state of what came, greetings left out; each must be signed."""
        told = []
        for headers, body in self.taken:
            expected = signature(signing_key(SECRET), headers["webhook-id"], headers["webhook-timestamp"], body)
            assert headers["webhook-signature"] == expected
            message = json.loads(body)
            if message["type"] != "webhook.enabled":
                told.append((message["type"], message["data"]["kind"], message["data"]["state"]))
        return told


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Lend a receiver that takes notices."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
