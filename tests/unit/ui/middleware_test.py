"""Body limit, security headers and telemetry of the gateway."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from services.chassis.telemetry import Telemetry
from ui.errors import install_error_responses
from ui.middleware.headers import SecurityHeaders
from ui.middleware.limits import BodyLimit
from ui.middleware.telemetry import HttpTelemetry


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


def test_a_body_within_the_limit_passes() -> None:
    answer = _client(BodyLimit(_app(), 100)).post("/api/v1/size", content=b"x" * 100)
    assert answer.json() == {"size": 100}


def test_a_declared_body_above_the_limit_is_refused() -> None:
    answer = _client(BodyLimit(_app(), 100)).post("/api/v1/size", content=b"x" * 101)
    assert answer.status_code == 413
    assert answer.json()["problem"] == "The request body is larger than 100 bytes."


def test_a_body_that_does_not_say_its_size_is_cut_off_at_the_limit() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 50

    answer = _client(BodyLimit(_app(), 100)).post("/api/v1/size", content=endless())
    assert answer.status_code == 413
    assert "larger than 100 bytes" in answer.json()["problem"]


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


def test_every_error_class_has_one_http_status() -> None:
    from services.chassis.errors import ERROR_CLASSES
    from ui.errors import STATUS_OF

    assert set(STATUS_OF) == set(ERROR_CLASSES)
    assert all(status >= 400 for status in STATUS_OF.values())
