"""The part of a kubelet's own server that gives out what containers print."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

_PAUSE_SECONDS = 0.05


class Printing(Protocol):
    """A container whose lines are kept in a file, each behind its time."""

    log: Path
    unshare: subprocess.Popen[bytes]


def start_timed(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process whose lines are kept in a file, each behind its time, as by a container runtime."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )

    def copy() -> None:
        assert process.stdout
        with process.stdout, log.open("wb", buffering=0) as file:
            for line in process.stdout:
                file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} ".encode() + line)

    log.touch()
    threading.Thread(target=copy, daemon=True).start()
    return process


class LogServer:
    """Answers `/containerLogs/NAMESPACE/POD/CONTAINER` on loopback.

    Args:
        certificate: The file of it, and that of its key.
        find: Returns the container of a pod.
    """

    def __init__(self, certificate: tuple[Path, Path], find: Callable[[str], Printing]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                asked = {key: values[-1] for key, values in parse_qs(address.query).items()}
                self.send_response(200)
                self.end_headers()
                # Whoever asked may have gone.
                with suppress(OSError):
                    for line in _lines(find(address.path.split("/")[3]), follow=asked.get("follow") == "true"):
                        if _is_asked_for(line, asked):
                            self.wfile.write(line if asked.get("timestamps") == "true" else line.partition(b" ")[2])

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def _lines(container: Printing, *, follow: bool) -> Iterator[bytes]:
    with container.log.open("rb") as file:
        while True:
            has_ended = not follow or container.unshare.poll() is not None
            yield from file
            if has_ended:
                return
            time.sleep(_PAUSE_SECONDS)


def _is_asked_for(line: bytes, asked: dict[str, str]) -> bool:
    if not (seconds := asked.get("sinceSeconds")):
        return True
    printed = datetime.fromisoformat(line.partition(b" ")[0].decode())
    return printed >= datetime.now(UTC) - timedelta(seconds=int(seconds))
