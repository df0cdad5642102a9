"""What every test process sets before anything else runs."""

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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what imports and the list of tests made out of every later garbage collection: a tenth of all CPU time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
