"""Limits, security headers and telemetry of the gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import ANY

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from services.chassis.errors import Busy
from services.chassis.telemetry import Telemetry
from ui.gateway.errors import install_error_responses, sentence_of
from ui.gateway.middleware.headers import SecurityHeaders
from ui.gateway.middleware.limits import RequestLimits
from ui.gateway.middleware.loopback import LoopbackOnly
from ui.gateway.middleware.outside import Outside, OutsideAddress
from ui.gateway.middleware.telemetry import HttpTelemetry
from ui.gateway.settings import GatewaySettings
from ui.shared.events import EventStreams


def _app() -> FastAPI:
    app, router = FastAPI(), APIRouter()
    install_error_responses(app)

    @router.post("/size")
    async def size(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @router.get("/things/{thing}")
    async def thing(thing: str) -> dict[str, str]:
        return {"thing": thing}

    app.include_router(router, prefix="/api/v1")
    return app


def _client(app: ASGIApp) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1")


def _limited(**settings: Any) -> RequestLimits:
    return RequestLimits(_app(), GatewaySettings(**settings))


def test_a_body_within_the_limit_passes() -> None:
    answer = _client(_limited(max_body_bytes=1024)).post("/api/v1/size", content=b"x" * 1024)
    assert answer.json() == {"size": 1024}


def test_a_declared_body_above_the_limit_is_refused() -> None:
    answer = _client(_limited(max_body_bytes=1024)).post("/api/v1/size", content=b"x" * 1025)
    assert answer.status_code == 413
    assert answer.json()["problem"] == "The request body is larger than 1024 bytes."


@pytest.mark.parametrize("path", ["/v1/files", "/lab/v1/files"])
def test_openais_clients_are_refused_before_any_route_in_their_own_shape(path: str) -> None:
    outside = "https://lab.example/lab"
    answer = _client(_limited(max_body_bytes=1024, outside_url=outside)).post(path, content=b"x" * 1025)
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "invalid_request_error")
    assert answer.json()["error"]["message"].startswith("The request body is larger than 1024 bytes.")
    elsewhere = TestClient(LoopbackOnly(_app(), OutsideAddress.parse(outside)), base_url="http://other.example")
    answer = elsewhere.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")


def test_a_body_that_does_not_say_its_size_is_cut_off_at_the_limit() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 500

    answer = _client(_limited(max_body_bytes=1024)).post("/api/v1/size", content=endless())
    assert answer.status_code == 413
    assert "larger than 1024 bytes" in answer.json()["problem"]


class _Requests:
    """Requests whose bodies come part by part, as the test sends them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def post(self, parts: AsyncIterator[bytes], path: str = "/api/v1/size") -> tuple[int, dict[str, str]]:
        sent: list[Message] = []

        async def receive() -> Message:
            part = await anext(parts, None)
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        async def send(message: Message) -> None:
            sent.append(message)

        head = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [], "root_path": ""}
        await self._app({**head, "raw_path": path.encode(), "scheme": "http"}, receive, send)
        return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(("kind", "status"), [("application/json; charset=utf-8", 413), ("application/jsonl", 200)])
def test_json_may_be_less_than_a_file(kind: str, status: int) -> None:
    client = _client(_limited(max_json_bytes=1024))
    assert client.post("/api/v1/size", content=b"x" * 1025, headers={"content-type": kind}).status_code == status


async def test_a_body_that_drips_is_given_up() -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    assert (await _Requests(_limited(max_body_seconds=0.1)).post(drip()))[0] == 408


async def test_requests_and_their_bodies_are_bounded_together() -> None:
    release = asyncio.Event()

    async def held(num_bytes: int) -> AsyncIterator[bytes]:
        yield b"x" * num_bytes
        await release.wait()

    requests = _Requests(_limited(max_requests=2, max_bodies_bytes=2048))
    tasks = [asyncio.create_task(requests.post(held(1500)))]
    await asyncio.sleep(0.01)
    assert await requests.post(held(1000)) == (429, ANY)
    tasks.append(asyncio.create_task(requests.post(held(10))))
    await asyncio.sleep(0.01)
    status, headers = await requests.post(held(0))
    assert (status, headers["retry-after"]) == (429, "5")
    release.set()
    assert [(await task)[0] for task in tasks] == [200, 200]
    assert (await requests.post(held(2000)))[0] == 200


@pytest.mark.parametrize("path", ["/api/v1/things/a", "/nowhere"])
def test_every_response_forbids_what_other_sites_serve(path: str) -> None:
    headers = _client(SecurityHeaders(_app())).get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "connect-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


async def test_requests_are_counted_by_route_template_and_never_by_path() -> None:
    telemetry = Telemetry()
    client = _client(HttpTelemetry(_app(), telemetry))
    for name in ("a", "b", "secret-name"):
        client.get(f"/api/v1/things/{name}")
    client.get("/not/a/route/secret-name")
    client.request("BREW", "/api/v1/size")
    text = (await telemetry.render()).decode()
    counted = 'drillyard_http_requests_total{method="GET",route="/api/v1/things/{thing}",status="200"} 3.0'
    assert counted in text
    assert 'method="other"' in text
    assert "secret-name" not in text
    assert "BREW" not in text


def test_an_unexpected_error_answers_without_its_text(caplog: Any) -> None:
    app = _app()

    @app.get("/api/v1/broken")
    async def broken() -> None:
        raise RuntimeError("canary-7c1")

    answer = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False).get("/api/v1/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == "INTERNAL"
    assert "canary-7c1" not in answer.text


def test_a_request_without_a_body_is_told_so() -> None:
    error = RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    assert sentence_of(error) == "The request has no content."


def test_every_error_class_has_one_http_status() -> None:
    from services.chassis.errors import ERROR_CLASSES, QuotaExceeded
    from ui.gateway.errors import STATUS_OF, Unauthenticated

    assert set(STATUS_OF) == {*ERROR_CLASSES, QuotaExceeded, Unauthenticated}
    assert all(status >= 400 for status in STATUS_OF.values())


def _seen() -> FastAPI:
    app = FastAPI()

    @app.get("/things/{thing:path}")
    async def url(request: Request, thing: str) -> dict[str, str]:
        return {"url": str(request.url), "thing": thing, "forwarded": request.headers.get("x-forwarded-host", "")}

    @app.get("/page")
    async def page() -> HTMLResponse:
        text = '<link href="/a.json"><a href="./b">b</a><img src="//other/c"><pre>href=&quot;/d&quot;</pre>'
        return HTMLResponse(text)

    @app.get("/moved")
    async def moved(to: str) -> RedirectResponse:
        return RedirectResponse(to)

    return app


@pytest.mark.parametrize("path", ["/things/a", "/drill/things/a"])
@pytest.mark.parametrize("host", ["127.0.0.1:7860", "lab.example"])
def test_a_proxy_may_keep_the_path_or_take_it_off(path: str, host: str) -> None:
    client = _client(Outside(_seen(), OutsideAddress.parse("https://LAB.example:443/drill/")))
    answer = client.get(path, headers={"Host": host, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"})
    assert answer.json() == {"url": "https://lab.example/drill/things/a", "thing": "a", "forwarded": ""}


def test_a_path_that_only_begins_like_the_outside_one_is_another() -> None:
    client = _client(Outside(_seen(), OutsideAddress.parse("http://lab.example:8080/things")))
    assert client.get("/things/things/a").json()["thing"] == "a"
    assert client.get("/thingsa").status_code == 404
    assert client.get("/things", follow_redirects=False).headers["location"] == "/things/"


def test_what_a_document_asks_from_the_root_lies_below_the_path() -> None:
    answer = _client(Outside(_seen(), OutsideAddress.parse("https://lab.example/a/b"))).get("/page")
    assert answer.text == (
        '<link href="/a/b/a.json"><a href="./b">b</a><img src="//other/c"><pre>href=&quot;/d&quot;</pre>'
    )


@pytest.mark.parametrize(
    ("to", "location"),
    [("/x", "/drill/x"), ("/drill/x", "/drill/x"), ("./x", "./x"), ("https://other/x", "https://other/x")],
)
def test_redirects_stay_below_the_path(to: str, location: str) -> None:
    client = _client(Outside(_seen(), OutsideAddress.parse("https://lab.example/drill")))
    assert client.get("/moved", params={"to": to}, follow_redirects=False).headers["location"] == location


def test_without_a_path_only_the_origin_changes() -> None:
    client = _client(Outside(_seen(), OutsideAddress.parse("https://[2001:DB8::1]:8443")))
    assert client.get("/things/a").json()["url"] == "https://[2001:db8::1]:8443/things/a"
    assert 'href="/a.json"' in client.get("/page").text


def test_routes_are_counted_by_their_template_behind_a_path_too() -> None:
    telemetry = Telemetry()
    outside = Outside(_app(), OutsideAddress.parse("https://lab.example/drill"))
    _client(HttpTelemetry(outside, telemetry)).get("/drill/api/v1/things/a")
    labels = {"method": "GET", "route": "/api/v1/things/{thing}", "status": "200"}
    assert telemetry.registry.get_sample_value("drillyard_http_requests_total", labels) == 1


@pytest.mark.parametrize(
    "url",
    [
        "lab.example/drill",
        "ftp://lab.example",
        "https://",
        "https://user@lab.example",
        "https://lab.example/?a=1",
        "https://lab.example/#a",
        "https://lab.example/a//b",
        "https://lab.example/../a",
        "https://lab.example/a b",
        'https://lab.example/"><script>',
        "https://lab.example:99999/",
    ],
)
def test_what_is_no_address_of_origin_and_path_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        OutsideAddress.parse(url)


def test_what_is_too_large_for_a_message_is_413_in_both_forms() -> None:
    from services.chassis.errors import TooLarge
    from ui.gateway.errors import status_of
    from ui.openai.errors import told_error

    error = TooLarge("The request takes 20 bytes.", "Send less in one request.")
    assert status_of(error) == told_error(error).status == 413


async def test_event_streams_are_counted_before_they_open_and_given_back_when_they_never_do() -> None:
    async def events(after: int) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield after

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise OSError("The client is gone.")

    streams = EventStreams(2)
    responses = [streams.respond(events, 0) for _ in range(2)]
    with pytest.raises(Busy, match="2 event streams"):
        streams.respond(events, 0)
    for response in responses:
        with contextlib.suppress(Exception):
            await response({"type": "http", "method": "GET"}, gone, send)
    assert streams.respond(events, 0)
