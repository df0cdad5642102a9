"""How `--dist loadfile` spreads the slow suites over processes: longest first, so that all end about together."""

from __future__ import annotations

from typing import Any

import pytest

# Files, and folders whose files share services, from the longest on; the others follow.
_LONGEST = (
    "tests/integration/gateway_routes",
    "tests/integration/trainer_kill_test.py",
    "tests/integration/faults/ray_cluster_test.py",
    "tests/charts/cluster/attempts_test.py",
    "tests/integration/gateway_routes/tiny_model",
    "tests/integration/gateway_routes/shipping_test.py",
    "tests/e2e/demo_test.py",
    "tests/integration/test_runner_test.py",
    "tests/charts/cluster",
    "tests/e2e/browser_test.py",
    "tests/integration/up_test.py",
    "tests/integration/feedback_kill_test.py",
    "tests/integration/trainer_test.py",
    "tests/integration/test_runs/several_turns_runs_test.py",
    "tests/integration/faults/storm_test.py",
    "tests/integration/test_runs/llama_endpoint_test.py",
    "tests/integration/telemetry/metrics_test.py",
    "tests/integration/telemetry/panels_test.py",
    "tests/integration/telemetry/traces_test.py",
    "tests/integration/evaluator_test.py",
    "tests/integration/gateway_routes/feedback_way_test.py",
    "tests/integration/test_runs/loaded_models_test.py",
    "tests/integration/test_runs/shipments_test.py",
    "tests/integration/registry_test.py",
    "tests/integration/faults/deployments_test.py",
    "tests/integration/test_runs/gguf_versions_test.py",
)


def _unit(nodeid: str) -> str:
    """The file or folder whose tests run in one process."""
    file = nodeid.partition("::")[0]
    return max((unit for unit in _LONGEST if file.startswith(unit)), key=len, default=file)


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {unit: place for place, unit in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(_unit(item.nodeid), len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadUnits(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit(nodeid)

    return LoadUnits(config, log)
