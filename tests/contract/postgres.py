"""Debian's PostgreSQL on a free loopback port, for tests of what runs on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.machine import PATIENCE_SECONDS, free_port


def find_program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, or None."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return str(versions[0]) if versions else shutil.which(name)


def require_postgres() -> None:
    """Skip the test, with the reason, where PostgreSQL or its client library is missing."""
    if not find_program("initdb") or not find_program("postgres"):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'", exc_type=ImportError)


class PostgresServer:
    """One server over a folder, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self.url = f"postgresql+psycopg://drillyard@127.0.0.1:{self._port}/postgres"
        if self._user:
            shutil.chown(folder, self._user)
        options = ["-D", str(folder / "data"), "-U", "drillyard", "-A", "trust", "--no-sync"]
        subprocess.run([find_program("initdb") or "", *options], check=True, capture_output=True, user=self._user)

    def start(self) -> None:
        """Start the server and return when it answers."""
        arguments = ["-D", str(self._folder / "data"), "-p", str(self._port), "-h", "127.0.0.1", "-k", "", "-F"]
        command = [find_program("postgres") or "", *arguments]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log, user=self._user)
        _wait_for(self._port, self._process, self._folder / "log")

    def crash(self) -> None:
        """End the server without its last words: the next start recovers from its log."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End the server."""
        # SIGTERM would wait for the last client.
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Lend a new, empty server that ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="drillyard-postgres-"))
    server = PostgresServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_postgres() -> Iterator[str]:
    """Yield the SQLAlchemy URL of a new, empty server that ends with the block."""
    with postgres_server() as server:
        yield server.url


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    end = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="drillyard", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}")
