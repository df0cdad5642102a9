"""What refused requests cost the gateway: `python -m tests.bench.gateway.refusals [--requests 10000]`.

Asks a real gateway over sockets of loopback, eight at a time, and prints for each kind of refusal the processor time of
its process for a thousand of them, the median of five parts and the most, beside how many were answered a second.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.integration.processes import ServiceProcess, start_service

_CONNECTIONS: Final = 8
_PARTS: Final = 5
_PATH: Final = "/api/v1/model-versions"
_KEY: Final = "the first key of a gateway that is measured"
# Nothing answers there: what is refused asks no service.
_NOWHERE: Final = {f"{name}_address": "127.0.0.1:9" for name in ("registry", "test_runner", "evaluator", "trainer")}


@dataclass(frozen=True)
class Refusal:
    """One kind of request that is refused, as it is on the wire."""

    name: str
    request: bytes
    statuses: tuple[int, ...]
    keeps_connection: bool = True


def main() -> None:
    """Measure a gateway that asks for a login, and then one that answers this machine alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    num_requests = parser.parse_args().requests
    print(f"{'refusal':34} {'status':>6} {'s per 1,000':>12} {'most':>7} {'answered a second':>18}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "key").write_text(_KEY)
        asks = {"authentication": "on", "admin_key_file": folder / "key", **_NOWHERE}
        with start_service("gateway", folder / "locked", port=0, calls_per_minute=0, **asks) as gateway:
            _measure(gateway, _refusals_of_door(f"http://{gateway.address}"), num_requests)
        with start_service("gateway", folder / "rated", port=0, calls_per_minute=6, **asks) as gateway:
            busy = Refusal("asked too often", _request("GET", _PATH, f"Authorization: Bearer {_KEY}"), (503, 429))
            _measure(gateway, [busy], num_requests)
        with start_service("gateway", folder / "open", port=0, **_NOWHERE) as gateway:
            foreign = Refusal("a foreign Host, no login", _request("GET", _PATH, "Host: evil.example"), (403,))
            _measure(gateway, [foreign], num_requests)


def _refusals_of_door(url: str) -> list[Refusal]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {_KEY}"}) as admin:
        texts = {}
        for key_id in ("reader", "revoked"):
            texts[key_id] = admin.post("/api/v1/api-keys", json={"key_id": key_id, "scopes": ["read"]}).json()["key"]
        admin.post("/api/v1/api-keys/revoked/revoke").raise_for_status()
    with httpx.Client(base_url=url) as person:
        session = person.post("/login", data={"secret": _KEY}).cookies["drillyard_session"]
        person.post("/logout", headers={"Origin": url})
    nobody = f"dy_nobody_{secrets.token_urlsafe(32)}"
    wrong = "name=ann&secret=wrong"
    form = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(wrong)}")
    return [
        Refusal("no key", _request("GET", _PATH), (401,)),
        Refusal("no key, /v1", _request("POST", "/v1/chat/completions", "Content-Length: 0"), (401,)),
        Refusal("no key, a page", _request("GET", "/models", "Accept: text/html"), (303,)),
        Refusal("no key, a connection each", _request("GET", _PATH, "Connection: close"), (401,), False),
        Refusal("a key of nobody", _request("GET", _PATH, f"Authorization: Bearer {nobody}"), (401,)),
        Refusal("a key that was revoked", _request("GET", _PATH, f"Authorization: Bearer {texts['revoked']}"), (401,)),
        Refusal("a key without the scope", _request("DELETE", f"{_PATH}/x", f"X-Api-Key: {texts['reader']}"), (403,)),
        Refusal("a session that has ended", _request("GET", _PATH, f"Cookie: drillyard_session={session}"), (401,)),
        Refusal("a page of another site", _request("GET", _PATH, "Origin: https://evil.example"), (403,)),
        Refusal("a body too large", _request("POST", _PATH, "Content-Length: 999999999999"), (413,), False),
        Refusal("a wrong password", _request("POST", "/login", *form) + wrong.encode(), (401, 429)),
    ]


def _request(verb: str, path: str, *headers: str) -> bytes:
    host = () if any(header.startswith("Host:") for header in headers) else ("Host: 127.0.0.1",)
    return "\r\n".join((f"{verb} {path} HTTP/1.1", *host, "User-Agent: bench", *headers, "", "")).encode()


def _measure(gateway: ServiceProcess, refusals: list[Refusal], num_requests: int) -> None:
    process = psutil.Process(gateway.process.pid)
    for refusal in refusals:
        # Caches, and the burst that a caller may send at once.
        asyncio.run(_ask(gateway.address, refusal, 100, is_checked=False))
        costs, rates = [], []
        for _ in range(_PARTS):
            begin, start = sum(process.cpu_times()[:2]), time.perf_counter()
            asyncio.run(_ask(gateway.address, refusal, num_requests // _PARTS))
            rates.append(num_requests // _PARTS / (time.perf_counter() - start))
            costs.append((sum(process.cpu_times()[:2]) - begin) / (num_requests // _PARTS) * 1000)
        print(
            f"{refusal.name:34} {refusal.statuses[-1]:6} {statistics.median(costs):12.2f} {max(costs):7.2f}"
            f" {statistics.median(rates):18.0f}",
            flush=True,
        )


async def _ask(address: str, refusal: Refusal, num_requests: int, *, is_checked: bool = True) -> None:
    shares = [num_requests // _CONNECTIONS] * _CONNECTIONS
    async with asyncio.TaskGroup() as tasks:
        for share in shares:
            tasks.create_task(_ask_in_turn(address, refusal, share, is_checked=is_checked))


async def _ask_in_turn(address: str, refusal: Refusal, num_requests: int, *, is_checked: bool) -> None:
    host, _, port = address.rpartition(":")
    reader = writer = None
    for _ in range(num_requests):
        if reader is None or writer is None:
            reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(refusal.request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if is_checked and status not in refusal.statuses:
            raise SystemExit(f"{refusal.name}: answered with {status}")
        if refusal.keeps_connection:
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            continue
        writer.close()
        reader = writer = None
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    main()
