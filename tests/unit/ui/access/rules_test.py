"""What callers may do by the rules of routes."""

import pytest

from ui.gateway.access.caller import EVERY_SCOPE, ROLES, Caller, Scope
from ui.gateway.access.rules import PAGES, ROUTES, Rules, rules_of


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
