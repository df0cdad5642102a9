"""What an attempt's processes are told, whatever the launcher of the service was told."""

import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from services.trainer.backends.processes import environment_of

ENVIRONMENT = {"token": "dy-1", "num_threads": 1, "more": {}}

# Ray asks its ancestors' command lines whether one of them is `uv run`, and would start its workers the same way.
ASKS_RAY = """
import sys
from ray._private.worker import _maybe_modify_runtime_env
print(sys.prefix, _maybe_modify_runtime_env({"env_vars": {}}, False))
"""
ROOT = Path(__file__).resolve().parents[4]


def test_an_attempt_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy", "no_proxy"):
        monkeypatch.setenv(name, "socks4://[::1")
    assert not {name for name in environment_of(**ENVIRONMENT) if name.lower().endswith("_proxy")}


def test_under_uv_run_a_checkout_and_rays_workers_get_the_environment_that_is_there() -> None:
    environment = {**environment_of(**ENVIRONMENT), "VIRTUAL_ENV": sys.prefix, "UV_OFFLINE": "1"}
    command = [find_uv_bin(), "run", "python", "-c", ASKS_RAY]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"{sys.prefix} {{'env_vars': {{}}}}\n", done.stderr
    assert not (ROOT / "uv.lock").exists()
