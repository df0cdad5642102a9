"""Starts the five services and the gateway as processes of this machine, and stops every one of them."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from services.chassis.machine.parent import ServiceToken
from ui.cli.connection import Gateway, GatewayError

# Which services each one calls; a process starts once those are serving.
CALLS: dict[str, tuple[str, ...]] = {
    "registry": (),
    "test_runner": ("registry",),
    "trainer": ("registry",),
    "evaluator": ("registry", "test_runner"),
    "feedback": ("registry", "test_runner", "evaluator", "trainer"),
    "gateway": ("registry", "test_runner", "evaluator", "trainer", "feedback"),
}
# Where this machine reaches what listens everywhere.
_OWN_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
# One list of each service, which the gateway can only answer when that service answers it.
_LISTS = ("/model-versions", "/test-runs", "/evaluations", "/training-jobs", "/loops")
# Other users of this machine reach the services' ports, but not this file.
_TOKEN = "service-token"
_ADMIN_KEY = "admin-key"
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
# More restarts in so short a time help nobody: what ends the process is still there.
_MAX_RESTARTS = 5
_RESTARTS_SECONDS = 120.0


class StartError(Exception):
    """A process did not start, or ended while it was needed; the message says what to do."""


@dataclass
class Running:
    """One process that serves."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path
    address: str = ""
    metrics_address: str = ""


@dataclass
class System:
    """All processes of one data folder; leaving the block stops them.

    Args:
        data_dir: Where everything is kept; logs are in its `logs` folder.
        gateway_port: Port of the gateway; 0 for any free one.
        outside_url: Where a proxy shows the gateway; empty for nowhere.
        asks_for_login: Whether the gateway asks for a key or a login; the first key is in `admin_key_file`.
        max_log_bytes: A longer log is emptied, and what it held kept once, as `NAME.log.1`.
        on_ready: Called with each process once it serves.
        on_start: Called with the name of each process when it is started.
        on_restart: Called with a sentence that says why a process is started again.
    """

    data_dir: Path
    gateway_port: int = 0
    gateway_host: str = "127.0.0.1"
    outside_url: str = ""
    asks_for_login: bool = False
    max_log_bytes: int = 32 * 1024 * 1024
    on_ready: Callable[[Running], None] = lambda _running: None
    on_start: Callable[[str], None] = lambda _name: None
    on_restart: Callable[[str], None] = lambda _sentence: None
    _restarts: dict[str, list[float]] = field(default_factory=dict)
    _running: dict[str, Running] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Start everything, each process as soon as what it calls is serving."""
        try:
            (self.data_dir / "logs").mkdir(parents=True, exist_ok=True)
            ServiceToken.make(self.data_dir / _TOKEN)
            if self.asks_for_login:
                ServiceToken.make(self.admin_key_file)
        except OSError as error:
            raise StartError(f"{self.data_dir} cannot be used: {error.strerror}. Name another with --data.") from None
        try:
            self._start_all()
            key = self.admin_key_file.read_text(encoding="ascii").strip() if self.asks_for_login else ""
            try_out(self.url, key)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    @property
    def url(self) -> str:
        """Where programs of this machine reach the gateway."""
        host, _, port = self._running["gateway"].address.rpartition(":")
        return f"http://{_OWN_HOSTS.get(host, f'[{host}]' if ':' in host else host)}:{port}"

    @property
    def admin_key_file(self) -> Path:
        """Where the first key of a gateway is that asks for one."""
        return self.data_dir / _ADMIN_KEY

    def running(self) -> list[Running]:
        """Return the processes in the order of their start."""
        return list(self._running.values())

    def check(self) -> None:
        """Start each process again that has ended by itself, at its old address, and keep logs from growing too long.

        Raises:
            StartError: One has ended again and again.
        """
        for item in self.running():
            if item.process.poll() is not None:
                self._restart(item)
            rotate(item.log_path, self.max_log_bytes)

    def stop(self) -> None:
        """End all processes, callers before those they call, and wait until each is gone."""
        with _uninterrupted():
            for item in reversed(self._running.values()):
                item.process.send_signal(signal.SIGTERM)
            end = time.monotonic() + _STOP_SECONDS
            for item in self._running.values():
                _wait(item.process, end)
            self._running.clear()

    def _start_all(self) -> None:
        waiting = dict(CALLS)
        starting: dict[str, tuple[Running, IO[bytes], float]] = {}
        while waiting or starting:
            for name in [name for name, calls in waiting.items() if self._serves(calls, starting)]:
                del waiting[name]
                starting[name] = self._launch(name)
            streams = {lines: name for name, (_, lines, _) in starting.items()}
            readable, _, _ = select.select(list(streams), [], [], 0.5)
            for lines in readable:
                self._ready(starting.pop(streams[lines])[0], lines)
            _refuse_late(starting)

    def _serves(self, names: tuple[str, ...], starting: dict[str, Any]) -> bool:
        return all(name in self._running and name not in starting for name in names)

    def _restart(self, ended: Running) -> None:
        why, now = _ended(ended, "ended unexpectedly"), time.monotonic()
        recent = [start for start in self._restarts.get(ended.name, ()) if now - start < _RESTARTS_SECONDS]
        if len(recent) == _MAX_RESTARTS:
            raise StartError(f"{why} It was started again {_MAX_RESTARTS} times in {_RESTARTS_SECONDS:.0f} s.")
        self._restarts[ended.name] = [*recent, now]
        self.on_restart(f"{why} It is started again.")
        # Others know it by its address.
        running, lines, end = self._launch(ended.name, int(ended.address.rpartition(":")[2]))
        running.address = ended.address
        readable: list[IO[bytes]] = []
        while not readable:
            readable, _, _ = select.select([lines], [], [], 0.5)
            _refuse_late({ended.name: (running, lines, end)})
        # One that ends before it serves is met again by the next check.
        with suppress(StartError):
            self._ready(running, lines)

    def _launch(self, name: str, port: int = 0) -> tuple[Running, IO[bytes], float]:
        self.on_start(name)
        log_path = self.data_dir / "logs" / f"{name}.log"
        module = "ui" if name == "gateway" else f"services.{name}"
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | self._environment(name, port),
                start_new_session=True,
            )
        assert process.stdout is not None
        self._running[name] = Running(name, process, log_path)
        return self._running[name], process.stdout, time.monotonic() + _START_SECONDS

    def _environment(self, name: str, port: int) -> dict[str, str]:
        prefix = f"{name.upper()}_"
        own = {
            "DATA_DIR": str(self.data_dir),
            "TOKEN_FILE": str(self.data_dir / _TOKEN),
            "METRICS_PORT": "0",
            "LOG_FORMAT": "json",
            "EXIT_WITH_PARENT": "true",
            **{f"{called.upper()}_ADDRESS": self._running[called].address for called in CALLS[name]},
        }
        return {prefix + key: value for key, value in {**own, **self._ports(name, port)}.items()}

    def _ports(self, name: str, port: int) -> dict[str, str]:
        if name != "gateway":
            return {"GRPC_PORT": str(port)}
        outside = {"OUTSIDE_URL": self.outside_url} if self.outside_url else {}
        if self.asks_for_login:
            outside |= {"AUTHENTICATION": "on", "ADMIN_KEY_FILE": str(self.admin_key_file)}
        return {"HOST": self.gateway_host, "PORT": str(port or self.gateway_port), **outside}

    def _ready(self, running: Running, lines: IO[bytes]) -> None:
        try:
            line = json.loads(lines.readline())
        except ValueError:
            raise StartError(_ended(running, "did not start")) from None
        running.address = line.get("grpc_address") or line["http_address"]
        running.metrics_address = line["metrics_address"]
        self.on_ready(running)


def rotate(log_path: Path, max_bytes: int) -> None:
    """Empty a log that is too long; its writer, which appends, goes on in it, and `NAME.log.1` has what it held."""
    if log_path.stat().st_size <= max_bytes:
        return
    former = log_path.with_name(f"{log_path.name}.1")
    # On a full disk the log goes, and not what writes it.
    with suppress(OSError):
        former.unlink(missing_ok=True)
        shutil.copyfile(log_path, former)
    os.truncate(log_path, 0)


def try_out(url: str, api_key: str = "") -> None:
    """Ask each service for something in the way that commands do, since one that serves may be out of their reach.

    Raises:
        StartError: The gateway at `url` does not answer, or a service does not answer it.
    """
    gateway = Gateway(url, api_key)
    for path in _LISTS:
        try:
            gateway.get(path, page_size=1)
        except GatewayError as error:
            problem = f"Everything has started, but {url} cannot be used: {error.problem}"
            raise StartError(f"{problem} See the logs in the data folder.") from None


def _refuse_late(starting: dict[str, tuple[Running, IO[bytes], float]]) -> None:
    for item, _, end in starting.values():
        if time.monotonic() > end:
            raise StartError(
                f"The {item.name} was not ready within {_START_SECONDS:.0f} s. Its log is {item.log_path}."
            )


def _ended(running: Running, how: str) -> str:
    status = _wait(running.process, time.monotonic() + 2)
    cause = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    said = _last_words(running.log_path)
    return f"The {running.name} {how} ({cause}). {said} Its log is {running.log_path}.".replace("  ", " ")


def _last_words(log_path: Path) -> str:
    # The line in which the excerpt begins is left out, since it may be the end of a longer one.
    lines = ("\n" + log_path.read_text(encoding="utf-8", errors="replace"))[-4000:].splitlines()[1:]
    plain = [line.strip() for line in lines if line.strip() and not line.startswith("{")]
    return plain[-1][:500] if plain else ""


def _wait(process: subprocess.Popen[bytes], end: float) -> int:
    try:
        status = process.wait(max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        # The process leads its own session, so this also reaches what it has started there.
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return status


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let an impatient second Ctrl-C wait until nothing is left running."""
    former = {item: signal.signal(item, signal.SIG_IGN) for item in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for item, handler in former.items():
            signal.signal(item, handler)
