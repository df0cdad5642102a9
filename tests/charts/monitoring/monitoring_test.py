"""Dashboards and alerts ask for series that the code exports, and alerts fire when they should."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.types import Receive, Scope, Send

from services.chassis.telemetry import Telemetry
from services.evaluator.telemetry import EvaluatorTelemetry
from services.feedback.telemetry import FeedbackTelemetry
from services.registry.telemetry import RegistryTelemetry
from services.test_runner.telemetry import TestRunnerTelemetry
from services.trainer.telemetry import TrainerTelemetry
from tests.charts.tools import CHART, DEPLOYABLES, of_kind, profile_values, render, run_program
from ui.gateway.middleware.telemetry import HttpTelemetry
from ui.openai import routes as openai_routes

DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
RULES = sorted((CHART / "files").glob("*.yaml"))
RULE_TESTS = sorted(Path(__file__).parent.glob("*_test.yaml"))
RUNBOOKS = CHART.parents[1] / "docs" / "shipping" / "runbooks.md"
FROM_PROMETHEUS = {"up"}


def fresh_telemetry() -> Telemetry:
    """The series of all processes, as they are before anything has happened."""

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        return None

    telemetry = Telemetry()
    for own in (RegistryTelemetry, TestRunnerTelemetry, EvaluatorTelemetry, TrainerTelemetry, FeedbackTelemetry):
        own(telemetry)
    HttpTelemetry(nothing, telemetry, openai_routes.ROUTES)
    telemetry.expect_rpcs("drillyard.X", ["GetY"])
    return telemetry


def exported_series() -> set[str]:
    telemetry = fresh_telemetry()
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix for family in telemetry.registry.collect() for suffix in suffixes.get(family.type, ("",))
    } | FROM_PROMETHEUS


def panel_queries(path: Path) -> list[str]:
    panels = json.loads(path.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def rule_groups() -> list[dict[str, Any]]:
    return [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]


def rules_that(verb: str) -> list[dict[str, Any]]:
    """The rules that "alert" or "record"."""
    return [rule for group in rule_groups() for rule in group["rules"] if verb in rule]


def series_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:drillyard[_:][\w:]+|process_\w+|python_\w+|kube\w*_\w+|up(?=\{))", query))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_ask_only_for_series_that_the_code_exports(path: Path) -> None:
    asked = {series for query in panel_queries(path) for series in series_in(query)}
    assert asked
    assert asked - exported_series() == set()
    assert all(series_in(query) for query in panel_queries(path))


def test_rules_ask_only_for_series_that_the_code_exports_or_another_rule_records() -> None:
    recorded = {rule["record"] for rule in rules_that("record")}
    asked = {series for rule in (*rules_that("record"), *rules_that("alert")) for series in series_in(rule["expr"])}
    assert asked <= exported_series() | recorded


def test_every_recorded_series_is_tried() -> None:
    tests = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    tried = {entry["expr"] for test in tests for entry in test.get("promql_expr_test", ())}
    read = {series for rule in (*rules_that("record"), *rules_that("alert")) for series in series_in(rule["expr"])}
    assert {rule["record"] for rule in rules_that("record")} <= tried | read


def test_every_counter_that_an_alert_watches_is_there_before_it_counts() -> None:
    samples = [one for family in fresh_telemetry().registry.collect() for one in family.samples]
    # Jobs are counted at each scrape, and a duration has no series before there is one.
    watched = {
        (series, selector)
        for rule in (*rules_that("record"), *rules_that("alert"))
        for series, selector in re.findall(r"(drillyard_\w+_total)(?:\{([^}]*)\})?", rule["expr"])
    }
    assert len(watched) > 8
    for series, selector in watched:
        matchers = re.findall(r'(\w+)(=~|=)"([^"]*)"', selector)
        there = [
            one
            for one in samples
            if one.name == series and all(re.fullmatch(value, one.labels[label]) for label, _, value in matchers)
        ]
        assert there, f"{series}{{{selector}}}"
        assert {one.value for one in there} == {0.0}


def test_every_series_of_ours_is_shown_somewhere() -> None:
    shown = {series for path in DASHBOARDS for query in panel_queries(path) for series in series_in(query)}
    families = {re.sub(r"_(bucket|sum|count|total)$", "", series) for series in shown}
    ours = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in exported_series()}
    assert {name for name in ours if name.startswith("drillyard_")} - families == set()


def test_a_series_that_nobody_exports_is_seen() -> None:
    assert series_in('rate(drillyard_made_up_total{job="x"}[5m])') - exported_series() == {"drillyard_made_up_total"}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_take_their_data_source_from_a_variable(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == f"drillyard-{path.stem}"
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${datasource}"}
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(places) == len(set(places))


def test_dashboards_and_rules_reach_the_cluster_unchanged() -> None:
    manifests = render(*profile_values("postgres-s3"))
    maps = of_kind(manifests, "ConfigMap")
    assert set(maps) == {f"dy-dashboard-{path.stem}" for path in DASHBOARDS}
    for path in DASHBOARDS:
        stored = maps[f"dy-dashboard-{path.stem}"]
        assert stored["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(stored["data"][path.name]) == json.loads(path.read_text())
    (rules,) = of_kind(manifests, "PrometheusRule").values()
    assert rules["spec"] == {"groups": rule_groups()}
    assert rules["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_the_monitor_finds_the_metrics_port_of_every_service() -> None:
    manifests = render(*profile_values("postgres-s3"))
    (monitor,) = of_kind(manifests, "ServiceMonitor").values()
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    for service in of_kind(manifests, "Service").values():
        assert wanted <= service["metadata"]["labels"].items()
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_every_alert_says_what_to_do() -> None:
    for rule in rules_that("alert"):
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "runbook"} <= set(rule["annotations"]), rule["alert"]


def test_every_alert_has_its_runbook_and_is_tried() -> None:
    sections = set(re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE))
    tests = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    tried = {entry["alertname"] for test in tests for entry in test.get("alert_rule_test", ())}
    alerts = {rule["alert"] for rule in rules_that("alert")}
    assert sections == alerts
    assert alerts <= tried


def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = run_program("promtool", "test", "rules", *map(str, RULE_TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_traces_are_off_until_a_collector_is_named_and_its_key_comes_from_a_secret() -> None:
    named = {"endpoint": "http://collector:4318", "existingSecret": "collector"}
    for traces, expected in ({}, 0), (named, len(DEPLOYABLES)):
        manifests = render("--set-json", f"monitoring.traces={json.dumps(traces)}")
        containers = [
            deployment["spec"]["template"]["spec"]["containers"][0]
            for deployment in of_kind(manifests, "Deployment").values()
        ]
        environments = [{entry["name"]: entry for entry in container["env"]} for container in containers]
        told = [environment for environment in environments if "OTEL_EXPORTER_OTLP_ENDPOINT" in environment]
        assert len(told) == expected
        for environment in told:
            assert environment["OTEL_TRACES_SAMPLER_ARG"]["value"] == "0.1"
            key = {"name": "collector", "key": "headers"}
            assert environment["OTEL_EXPORTER_OTLP_HEADERS"] == {
                "name": "OTEL_EXPORTER_OTLP_HEADERS",
                "valueFrom": {"secretKeyRef": key},
            }
