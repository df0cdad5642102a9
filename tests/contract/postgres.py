"""Debian's PostgreSQL on a free loopback port, for tests of what runs on it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_SECONDS = 30.0


def find_program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, or None."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return str(versions[0]) if versions else shutil.which(name)


def require_postgres() -> None:
    """Skip the test, with the reason, where PostgreSQL or its client library is missing."""
    if not find_program("initdb") or not find_program("postgres"):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'", exc_type=ImportError)


@contextmanager
def run_postgres() -> Iterator[str]:
    """Yield the SQLAlchemy URL of a new, empty server that ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="drillyard-postgres-"))
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        [find_program("initdb") or "", "-D", str(data), "-U", "drillyard", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        user=user,
    )
    port = _free_port()
    arguments = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([find_program("postgres") or "", *arguments], stderr=log, stdout=log, user=user)
    try:
        _wait_for(port, process, folder / "log")
        yield f"postgresql+psycopg://drillyard@127.0.0.1:{port}/postgres"
    finally:
        # SIGTERM would wait for the last client.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(START_SECONDS)
        finally:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="drillyard", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
