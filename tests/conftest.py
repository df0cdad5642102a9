"""What every test process sets before anything else runs, and what a second try of a test finds."""

import gc
import os
import signal
from collections.abc import Generator

import pytest

pytest_plugins = ["tests.distribution"]

# Tests start some hundred processes: they shall not compile the same modules again and again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Threads of torch that wait by spinning take the time of the services under test; read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell that starts the tests in the background makes them ignore SIGINT, and what they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what imports and the list of tests made out of every later garbage collection: a tenth of all CPU time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # Each try begins with its set-up.
    item.stash[_HAS_FAILED] = report.failed or (report.when != "setup" and item.stash.get(_HAS_FAILED, False))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End all that tests share before a test that failed is tried again: what its first try left is in its way."""
    is_tried_again = getattr(item, "execution_count", 1) <= (item.config.getoption("reruns", None) or 0)
    if is_tried_again and item.stash.get(_HAS_FAILED, False) and item.get_closest_marker("in_order") is None:
        item.session._setupstate.teardown_exact(None)
