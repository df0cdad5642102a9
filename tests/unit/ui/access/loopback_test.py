"""Who gets through the gateway's door when there is no authentication."""

import json
from typing import Any

import pytest

from ui.gateway.middleware.loopback import LoopbackOnly
from ui.gateway.middleware.outside import OutsideAddress


async def _ask(
    headers: list[tuple[str, str]], kind: str = "http", outside: str = ""
) -> tuple[bool, list[dict[str, Any]]]:
    passed, sent = False, []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal passed
        passed = True

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": f"{kind}.disconnect"}

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": kind, "headers": raw, "method": "GET", "path": "/", "extensions": {}}
    await LoopbackOnly(app, OutsideAddress.parse(outside) if outside else None)(scope, receive, send)
    return passed, sent


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:7860", "localhost", "LOCALHOST:7860", "localhost.:80", "[::1]:7860", "127.9.9.9:1"]
)
async def test_a_loopback_host_passes(host: str) -> None:
    passed, _ = await _ask([("host", host)])
    assert passed


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "0.0.0.0:7860",
        "192.168.1.4:7860",
        "[::ffff:10.0.0.1]:7860",
        "evil@127.0.0.1",
        "127.0.0.1@example.org",
        "example.org:7860#localhost",
        "2130706433",
        "127.1",
        "",
        "[::1",
        "\x00localhost",
    ],
)
async def test_any_other_host_is_refused_with_what_to_do(host: str) -> None:
    passed, sent = await _ask([("host", host)])
    assert not passed
    assert sent[0]["status"] == 403
    assert json.loads(sent[1]["body"])["next_step"].startswith("Open it as http://127.0.0.1")


async def test_a_request_without_a_host_or_with_two_is_refused() -> None:
    assert not (await _ask([]))[0]
    assert not (await _ask([("host", "localhost"), ("host", "localhost")]))[0]


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7860", "http://localhost:3000", "https://[::1]"])
async def test_a_page_of_this_machine_may_call(origin: str) -> None:
    assert (await _ask([("host", "localhost:7860"), ("origin", origin)]))[0]


@pytest.mark.parametrize("origin", ["https://example.org", "null", "file://", "", "http://localhost@example.org"])
async def test_a_page_of_another_site_is_refused_even_with_a_loopback_host(origin: str) -> None:
    assert not (await _ask([("host", "localhost:7860"), ("origin", origin)]))[0]


async def test_a_web_socket_from_another_site_is_closed() -> None:
    passed, sent = await _ask([("host", "localhost"), ("origin", "https://example.org")], kind="websocket")
    assert not passed
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": sent[0]["reason"]}]


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:7860", "https://lab.example"),
        ("lab.example", "https://lab.example"),
        ("LAB.example", "https://lab.example"),
        ("lab.example", "http://localhost:7860"),
    ],
)
async def test_the_outside_address_passes(host: str, origin: str) -> None:
    assert (await _ask([("host", host), ("origin", origin)], outside="https://lab.example/drill/"))[0]


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", "http://lab.example"),
        ("127.0.0.1", "https://lab.example:8443"),
        ("127.0.0.1", "https://lab.example.evil.example"),
        ("127.0.0.1", "https://evil.example"),
        ("127.0.0.1", "null"),
        ("127.0.0.1", ""),
        ("lab.example:7860", "https://lab.example"),
        ("evil.example", "https://lab.example"),
        ("", "https://lab.example"),
    ],
)
async def test_no_other_address_passes_beside_the_outside_one(host: str, origin: str) -> None:
    passed, sent = await _ask([("host", host), ("origin", origin)], outside="https://lab.example/drill/")
    assert not passed
    assert "https://lab.example/drill/" in json.loads(sent[1]["body"])["problem"]


async def test_a_refusal_says_what_a_proxy_must_do() -> None:
    _, sent = await _ask([("host", "localhost"), ("origin", "https://lab.example")])
    next_step = json.loads(sent[1]["body"])["next_step"]
    assert "GATEWAY_OUTSIDE_URL" in next_step
    assert "rewrite Host and Origin" in next_step
