"""Starts Drillyard's services as the real processes that they are, on free loopback ports."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.machine import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]

# The gateway's folder and prefix differ from its name; every other service is `services.<name>`.
_MODULES = {"gateway": "ui"}


class NotReadyError(AssertionError):
    """A service ended or stayed silent instead of printing its ready line."""


@dataclass
class ServiceProcess:
    """One running service."""

    name: str
    process: subprocess.Popen[str]
    address: str
    metrics_address: str
    log_path: Path

    def kill(self) -> None:
        """End the process as the kernel would: SIGKILL, no last words."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """Ask the process to end (SIGTERM) and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def log(self) -> str:
        """Return all that the process wrote to stderr."""
        return self.log_path.read_text(errors="replace")


@contextlib.contextmanager
def start_service(name: str, data_dir: Path, **settings: object) -> Iterator[ServiceProcess]:
    """Start a service and yield it once it serves; it is ended on leaving, however the block ends.

    Args:
        name: Such as "registry", "test_runner" or "gateway".
        data_dir: The data folder that all services of a test share.
        settings: Settings of the service in lower case, such as `registry_address="127.0.0.1:5000"`.

    Raises:
        NotReadyError: The process ended, or printed no ready line in `PATIENCE_SECONDS`; the message holds its log.
    """
    log_path = data_dir / "logs" / f"{name}-{time.monotonic_ns()}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULES.get(name, f"services.{name}")],
            cwd=ROOT,
            env=_environment(name, data_dir, settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        ready = _read_ready(name, process, log_path)
        yield ServiceProcess(
            name=name,
            process=process,
            address=ready.get("grpc_address") or ready.get("http_address", ""),
            metrics_address=ready.get("metrics_address", ""),
            log_path=log_path,
        )
    finally:
        _end(process)


def _environment(name: str, data_dir: Path, settings: dict[str, object]) -> dict[str, str]:
    prefix = name.upper()
    chosen = {"data_dir": data_dir, "exit_with_parent": "true", "log_format": "json", **settings}
    paths = [str(ROOT), str(ROOT / "proto" / "gen"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(f"{prefix}_")},
        **{f"{prefix}_{key.upper()}": str(value) for key, value in chosen.items()},
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _read_ready(name: str, process: subprocess.Popen[str], log_path: Path) -> dict[str, str]:
    assert process.stdout is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_drain, args=(process.stdout, lines), daemon=True).start()
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            line = lines.get(timeout=max(end - time.monotonic(), 0.0))
        except queue.Empty:
            raise NotReadyError(f"{name} was silent for {PATIENCE_SECONDS:.0f} s. {log_path.read_text()}") from None
        if not line:
            raise NotReadyError(f"{name} ended with code {process.wait(PATIENCE_SECONDS)}. {log_path.read_text()}")
        if line.startswith("{"):
            ready: dict[str, str] = json.loads(line)
            if ready.get("event") == "serving":
                return ready


def _drain(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    # Keeps reading after the ready line, so that a service that prints more never blocks on a full pipe.
    with stream:
        for line in stream:
            lines.put(line)
    lines.put("")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE_SECONDS)
