"""A server that speaks S3's protocol, on loopback, and an empty bucket for each test that asks for one."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from tests.machine import PATIENCE_SECONDS, free_port


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a server that is told of by environment variables alone, as in a cluster."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    variables = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    try:
        _wait(url, process)
        with pytest.MonkeyPatch.context() as environment:
            for name, value in variables.items():
                environment.setenv(name, value)
            yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def s3_root(s3_endpoint: str) -> str:
    """The URL of an empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    urlopen(Request(f"{s3_endpoint}/{name}", method="PUT"), timeout=PATIENCE_SECONDS).close()
    return f"s3://{name}"


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        try:
            urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")
