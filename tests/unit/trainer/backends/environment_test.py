"""What an attempt's processes are told, whatever the launcher of the service was told."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.trainer.backends.processes import environment_of

ENVIRONMENT = {"token": "dy-1", "num_threads": 1, "more": {}}

# Ray asks its ancestors' command lines whether one of them is `uv run`.
ASKS_RAY = """
from ray._private.worker import _maybe_modify_runtime_env
print(_maybe_modify_runtime_env({"env_vars": {}}, False))
"""


def test_an_attempt_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy", "no_proxy"):
        monkeypatch.setenv(name, "socks4://[::1")
    assert not {name for name in environment_of(**ENVIRONMENT) if name.lower().endswith("_proxy")}


def test_under_uv_run_rays_workers_get_the_environment_of_their_driver(tmp_path: Path) -> None:
    (tmp_path / "run").write_text(f"{sys.executable} -c '{ASKS_RAY}'\n:\n")
    told = {"cwd": tmp_path, "env": environment_of(**ENVIRONMENT)}
    done = subprocess.run(["uv", "run"], executable="/bin/sh", capture_output=True, text=True, check=False, **told)
    assert done.stdout == "{'env_vars': {}}\n", done.stderr
