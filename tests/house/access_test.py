"""Every route, page and event of the gateway has a rule, and no rule is one of nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from services.chassis.telemetry import Telemetry
from ui.gateway.access.events import EVENTS, event_of, scope_of
from ui.gateway.access.rules import PAGES, ROUTES, rules_of
from ui.gateway.app import create_app
from ui.gateway.pages import make_site
from ui.gateway.settings import GatewaySettings


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    app: Any = create_app(GatewaySettings(data_dir=tmp_path_factory.mktemp("gateway")), Telemetry())
    while not isinstance(app, FastAPI):
        app = app._app
    return app


def _routes(routes: Any) -> Iterator[tuple[str, str]]:
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from _routes(route.effective_candidates())
        else:
            whole = getattr(route, "starlette_route", None) or route
            for method in getattr(route, "methods", None) or getattr(whole, "methods", None) or ():
                if method != "HEAD":
                    yield method, getattr(route, "path", None) or whole.path


def test_every_route_has_a_rule_and_every_rule_a_route(app: FastAPI) -> None:
    rules = {(rule.method, rule.path) for rule in rules_of(ROUTES)}
    assert set(_routes(app.routes)) - rules == set(), "say in ui/gateway/access/rules.py who may use them"
    assert rules - set(_routes(app.routes)) == set()


@pytest.mark.filterwarnings("ignore:SSR mode is not supported")
def test_every_event_of_a_page_and_every_page_has_a_rule(app: FastAPI, tmp_path: Path) -> None:
    site: Any = asyncio.run(make_site(app))
    pages = next(route.app for route in site.routes if hasattr(getattr(route, "app", None), "get_blocks"))
    events = {event_of(block.fn) for block in pages.get_blocks().fns.values() if block.fn is not None}
    unruled = {event for event in events if scope_of(event) is None}
    assert unruled == set(), "say in ui/gateway/access/events.py who may trigger them"
    assert set(EVENTS) - events == set()
    routes = {f"{method} {path}" for method, path in [*_routes(site.routes), *_routes(pages.routes)]}
    assert {f"{rule.method} {rule.path}" for rule in rules_of(PAGES)} - routes <= {"GET /{page}/"}
