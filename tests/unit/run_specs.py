"""Specs of test runs with what is not said as the contract's default."""

from __future__ import annotations

from typing import Any

from services.chassis.wire import from_document
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.generation import Sampling
from services.test_runner.domain.test_run import TestRunSpec


def sampling(**values: Any) -> Sampling:
    """Return how tokens are chosen."""
    return from_document(Sampling, values)


def endpoint(base_url: str, model: str, **values: Any) -> Endpoint:
    """Return a served model."""
    return from_document(Endpoint, {"base_url": base_url, "model": model, **values})


def run_spec(**values: Any) -> TestRunSpec:
    """Return what a run does."""
    return from_document(TestRunSpec, values)
