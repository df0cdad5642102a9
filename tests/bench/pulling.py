"""`python -m tests.bench.pulling [--gigabytes 2] [--pairs 5]`: a pull beside `curl`, from one server on loopback.

The server sends a random file by `sendfile`, in a process of its own. Curl, pulls, and curl with `tee` and `sha256sum`
take turns; each writes the file to the same disk, curl alone checks nothing. Prints a line of JSON for each turn, with
the load of the machine, then the medians of a pull's speed in parts of both, and what the disk takes (dd with fsync).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.server
import json
import multiprocessing
import os
import re
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.registry.downloads.download import Downloader
from services.registry.downloads.remote_file import RemoteFile

BLOCK = 8 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    """One file, whole or in ranges."""

    protocol_version = "HTTP/1.1"
    path_of_file = Path()

    def do_GET(self) -> None:
        size = self.path_of_file.stat().st_size
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        begin, end = (int(span[1]), int(span[2])) if span else (0, size - 1)
        self.send_response(206 if span else 200)
        self.send_header("content-length", str(end - begin + 1))
        if span:
            self.send_header("content-range", f"bytes {begin}-{end}/{size}")
        self.end_headers()
        with self.path_of_file.open("rb") as file:
            self.connection.sendfile(file, begin, end - begin + 1)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(path: Path, pipe: Connection) -> None:
    """Serve the file, and tell the port."""
    Handler.path_of_file = path
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


def write_random(path: Path, num_bytes: int) -> str:
    """Write a file that doesn't repeat and return its digest."""
    hasher, block = hashlib.sha256(), os.urandom(BLOCK)
    with path.open("wb") as file:
        for number in range(num_bytes // BLOCK):
            piece = number.to_bytes(8, "little") + block[8:]
            hasher.update(piece)
            file.write(piece)
    return f"sha256:{hasher.hexdigest()}"


def pulled(url: str, digest: str, size: int, target: Path) -> None:
    """Pull it."""

    async def progress(_done: int, _total: int) -> None:
        """Nobody watches."""

    policy = HostPolicy((), Secrets("REGISTRY_", None, {}), variables=HostVariables("HOSTS", "SECRET_HOSTS"))
    asyncio.run(Downloader(policy).fetch(RemoteFile(url, size, digest), target, progress))


def curled(url: str, target: Path) -> None:
    """Fetch it by curl."""
    subprocess.run(["curl", "--silent", "--fail", "--noproxy", "*", "--output", target, url], check=True)


def checked(url: str, target: Path) -> None:
    """Fetch it by curl, and compute its digest on the way."""
    command = f"curl --silent --fail --noproxy '*' {url} | tee {shlex.quote(str(target))} | sha256sum"
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, stdout=subprocess.DEVNULL)


def timed(function: Callable[[], None]) -> tuple[float, float]:
    """Return how many seconds it takes, on the clock and of processors in this process and those that it starts."""
    start, used = time.monotonic(), os.times()
    function()
    now = os.times()
    return time.monotonic() - start, sum(now[:4]) - sum(used[:4])


def disk_rate(folder: Path) -> float:
    """Return how many megabytes a second the disk takes, as dd with fsync sees it."""
    command = ["dd", "if=/dev/zero", f"of={folder / 'dd'}", "bs=8M", "count=128", "conv=fsync"]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    (folder / "dd").unlink()
    return 128 * BLOCK / 1e6 / (time.monotonic() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workspace", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.workspace) as workspace:
        folder = Path(workspace)
        size = int(arguments.gigabytes * 1e9) // BLOCK * BLOCK
        digest = write_random(folder / "file", size)
        mine, theirs = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder / "file", theirs), daemon=True)
        server.start()
        url, pairs = f"http://127.0.0.1:{mine.recv()}/file", list[tuple[float, ...]]()
        for _ in range(arguments.pairs):
            ways = {"curl": partial(curled, url), "pull": partial(pulled, url, digest, size)}
            ways |= {"checked": partial(checked, url)}
            facts: dict[str, float] = {}
            for name, way in ways.items():
                os.sync()
                seconds, processor_seconds = timed(partial(way, folder / name))
                facts[f"{name}_mb_per_second"] = round(size / 1e6 / seconds)
                facts[f"{name}_processor_seconds_per_gb"] = round(processor_seconds / size * 1e9, 2)
                (folder / name).unlink()
            pairs.append(
                tuple(facts["pull_mb_per_second"] / facts[f"{way}_mb_per_second"] for way in ("curl", "checked"))
            )
            print(json.dumps(facts | {"load": os.getloadavg()[0]}), flush=True)
        medians = dict(zip(("of_curl", "of_checked"), map(statistics.median, zip(*pairs, strict=True)), strict=True))
        print(json.dumps(medians | {"disk_mb_per_second": disk_rate(folder)}))
        server.terminate()


if __name__ == "__main__":
    main()
