"""What every test process sets before anything else runs."""

import os
import signal

import pytest

# Files of tests that share a costly fixture, or that start Ray and would take the cores from each other.
_GROUPS = {
    "tests/integration/trainer_": "ray",
    "tests/e2e/demo_test": "ray",
    "tests/integration/gateway_routes/": "gateway",
}

# Tests start some hundred processes: they shall not compile the same modules again and again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Threads of torch that wait by spinning take the time of the services under test; read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell that starts the tests in the background makes them ignore SIGINT, and what they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests one process does, where several share them by `--dist loadgroup`: a file, or a group of files."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = next((name for begin, name in _GROUPS.items() if file.startswith(begin)), file)
        item.add_marker(pytest.mark.xdist_group(group))
