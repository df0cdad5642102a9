"""Every route, page and event of the gateway has a rule, and no rule is one of nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from services.chassis.telemetry import Telemetry
from ui.gateway.access.caller import EVERY_SCOPE, ROLES, Caller, Scope
from ui.gateway.access.events import EVENTS, event_of, scope_of
from ui.gateway.access.rules import PAGES, ROUTES, Rules, rules_of
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
    assert {(rule.method, rule.path) for rule in rules_of(ROUTES)} == set(_routes(app.routes))


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/models/a/b", "/gradio_api/proxy=http://x", "/monitoring", "//"])
def test_what_no_rule_names_falls_under_none(path: str) -> None:
    assert not Rules().of("GET", path)


def test_a_request_needs_what_each_rule_asks_for_that_it_falls_under() -> None:
    suite = Rules().of("GET", "/api/v1/test-suites/roo_xml/smoke@1/cases")
    assert {rule.path.rpartition("}")[2] for rule in suite} == {"", "/cases"}
    assert {str(*rule.scopes) for rule in Rules().of("POST", "/api/v1/datasets/roo/a/revise")} == {"train"}


def test_only_the_login_and_two_files_are_public() -> None:
    public = {(rule.method, rule.path) for rule in rules_of({**ROUTES, **PAGES}) if not rule.scopes}
    assert public == {
        *(("GET", path) for path in ("/login", "/favicon.ico", "/robots.txt")),
        *(("POST", path) for path in ("/login", "/logout")),
    }


def test_who_may_only_read_changes_nothing() -> None:
    viewer = Caller("user:ann", ROLES["viewer"])
    allowed = [rule for rule in rules_of(ROUTES) if rule.scopes and viewer.may(rule.scopes) and rule.method != "GET"]
    assert {rule.path for rule in allowed} == {"/api/v1/prompts/render", "/v1/{path:path}"}
    assert Caller("key:boss", frozenset({Scope.ADMIN})).may(frozenset({Scope.PUBLISH}))
    assert ROLES["admin"] == EVERY_SCOPE


@pytest.mark.filterwarnings("ignore:SSR mode is not supported")
def test_every_event_of_a_page_and_every_page_has_a_rule(app: FastAPI, tmp_path: Path) -> None:
    site: Any = asyncio.run(make_site(app))
    pages = next(route.app for route in site.routes if hasattr(getattr(route, "app", None), "get_blocks"))
    events = {event_of(block.fn) for block in pages.get_blocks().fns.values() if block.fn is not None}
    assert {event for event in events if scope_of(event) is None} == set()
    assert set(EVENTS) - events == set()
    routes = {f"{method} {path}" for method, path in [*_routes(site.routes), *_routes(pages.routes)]}
    assert {f"{rule.method} {rule.path}" for rule in rules_of(PAGES)} - routes <= {"GET /{page}/"}
