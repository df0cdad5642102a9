"""Debian's docker-registry, the real thing, on a free loopback port."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import PATIENCE_SECONDS, free_port

LOGIN = "coder:hunter2"
_PASSWORDS = "coder:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n"
_SETTINGS = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
"""
_LOGIN_SETTINGS = "auth: {{htpasswd: {{realm: tests, path: {folder}/passwords}}}}\n"


@contextlib.contextmanager
def docker_registry(folder: Path, *, needs_login: bool = False) -> Iterator[str]:
    """Yield host and port of a registry that keeps its data in `folder`; with `needs_login` it knows LOGIN alone."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("docker-registry is not installed: run `make tools`.")
    address = f"127.0.0.1:{free_port()}"
    (folder / "passwords").write_text(_PASSWORDS)
    settings = _SETTINGS + (_LOGIN_SETTINGS if needs_login else "")
    (folder / "config.yml").write_text(settings.format(folder=folder, address=address))
    with subprocess.Popen([program, "serve", str(folder / "config.yml")], stderr=subprocess.PIPE) as process:
        try:
            _wait(address, process)
            yield address
        finally:
            process.kill()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.partition(":")
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port))).close()
            return
        time.sleep(0.02)
    process.kill()
    assert process.stderr
    raise AssertionError(f"docker-registry does not start: {process.stderr.read().decode()}")
