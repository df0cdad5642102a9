"""`drillyard doctor system` on a machine that is not well."""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.machine import free_port
from ui.cli.__main__ import app
from ui.cli.connection import Gateway
from ui.diagnoses.system import Check, check_system


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def quick_checks(data_dir: Path, url: str) -> dict[str, Check]:
    """All but the last, which loads torch and Ray."""
    return {check.name: check for check in itertools.islice(check_system(data_dir, Gateway(url)), 7)}


def test_what_keeps_a_machine_from_running_is_named_with_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        checks = quick_checks(tmp_path / "file" / "data", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert {name: check.severity for name, check in checks.items() if name not in ("memory", "files")} == {
        "python": "ok",
        "packages": "ok",
        "port": "error",
        "disk": "error",
        "proxies": "warning",
    }
    assert "another --port" in checks["port"].mend
    assert str(tmp_path / "file") in checks["disk"].found and "--data" in checks["disk"].mend
    assert "https_proxy" in checks["proxies"].mend
    assert all(bool(check.mend) == (check.severity != "ok") for check in checks.values())


def test_a_package_of_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "tenacity-1.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: tenacity\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    check = quick_checks(tmp_path, f"http://127.0.0.1:{free_port()}")["packages"]
    assert check.severity == "error" and "tenacity is 1.0, not ==" in check.found and "make setup" in check.mend


def test_the_command_fails_on_an_error_and_prints_json_for_programs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(app, ["doctor", "system", "--json", "--url", url, "--data", str(tmp_path / "file")])
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert (result.exit_code, checks["disk"]["severity"], checks["port"]["severity"]) == (1, "error", "ok")
    assert checks["torch and ray"]["found"].startswith("torch ")
