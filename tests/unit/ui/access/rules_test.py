"""What callers may do by the rules of routes."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from services.chassis.telemetry import Telemetry
from ui.gateway.access.caller import EVERY_SCOPE, ROLES, Caller, Scope
from ui.gateway.access.rules import PAGES, ROUTES, Rules, rules_of
from ui.gateway.app import create_app
from ui.gateway.settings import GatewaySettings


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/models/a/b", "/gradio_api/proxy=http://x", "/monitoring", "//"])
def test_what_no_rule_names_falls_under_none(path: str) -> None:
    assert not Rules().of("GET", path)


def test_a_request_needs_what_each_rule_asks_for_that_it_falls_under() -> None:
    suite = Rules().of("GET", "/api/v1/test-suites/roo_xml/smoke@1/cases")
    assert {rule.path.rpartition("}")[2] for rule in suite} == {"", "/cases"}
    assert {str(*rule.scopes) for rule in Rules().of("POST", "/api/v1/datasets/roo/a/revise")} == {"train"}


def test_only_logging_in_and_two_files_are_public() -> None:
    public = {(rule.method, rule.path) for rule in rules_of({**ROUTES, **PAGES}) if not rule.scopes}
    assert public == {
        *(("GET", path) for path in ("/login", "/login/oidc", "/login/oidc/callback", "/favicon.ico", "/robots.txt")),
        *(("POST", path) for path in ("/login", "/logout")),
    }


def test_who_may_only_read_changes_nothing() -> None:
    viewer = Caller("user:ann", ROLES["viewer"])
    allowed = [rule for rule in rules_of(ROUTES) if rule.scopes and viewer.may(rule.scopes) and rule.method != "GET"]
    assert {rule.path for rule in allowed} == {"/api/v1/prompts/render", "/v1/{path:path}"}
    assert Caller("key:boss", frozenset({Scope.ADMIN})).may(frozenset({Scope.PUBLISH}))
    assert ROLES["admin"] == EVERY_SCOPE


def test_who_may_import_sees_what_came_of_it() -> None:
    for scope, paths in (
        ("train", ("/dataset-imports/i", "/dataset-imports/i/events", "/datasets/mine@1")),
        ("feedback", ("/feedback-imports/i", "/feedback-imports/i/events")),
    ):
        caller = Caller("key:ci", frozenset({Scope(scope)}))
        for path in paths:
            rules = Rules().of("GET", f"/api/v1{path}")
            assert rules and all(caller.may(rule.scopes) for rule in rules), path


def test_a_gateway_that_asks_nobody_has_no_accounts(tmp_path: Path) -> None:
    with TestClient(create_app(GatewaySettings(data_dir=tmp_path), Telemetry()), base_url="http://127.0.0.1") as http:
        assert http.get("/api/v1/caller").json()["caller"]["name"] == ""
        assert "asks nobody for a login" in http.get("/settings").text
        for path in ("/settings", "/login", "/logout"):
            assert http.post(path, data={"action": "create-key"}).status_code == 409
        assert http.get("/api/v1/api-keys").status_code == 409
        assert http.get("/login", follow_redirects=False).headers["location"] == "/"
    assert not (tmp_path / "gateway" / "accounts.db").exists()
