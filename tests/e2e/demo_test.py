"""`drillyard demo` from import to report, with a tiny random model in place of the real one."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.processes import ROOT
from tests.machine import PATIENCE_SECONDS

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
MOST_SILENT_SECONDS = 90.0
SIDE = {"conforming_rate", "accepted_rate", "well_formed_rate", "num_cases", "by_tool", "by_cause"}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen"}


def _tiny_model(folder: Path) -> Path:
    program = "import pathlib, sys, services.lm.tiny as tiny; path = pathlib.Path(sys.argv[1])"
    program += "; tiny.write_tiny_model(path, hidden_size=32, num_layers=1)"
    subprocess.run(
        [sys.executable, "-c", program, str(folder)], check=True, cwd=ROOT, env=_environment(), timeout=PATIENCE_SECONDS
    )
    return folder


def _demo(folder: Path, model: Path, *options: str) -> tuple[int, list[tuple[float, str]], float]:
    """Return the exit status, each line with the time it came, and how long all took."""
    command = [sys.executable, "-m", "ui.cli", "demo", "--data", str(folder), "--model", str(model), *options]
    start = time.monotonic()
    lines = [(start, "")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=_environment(), start_new_session=True, **pipes) as process:
        assert process.stdout is not None
        lines += [(time.monotonic(), line.rstrip()) for line in process.stdout]
    return process.returncode, lines, time.monotonic() - start


def test_the_demo_runs_the_whole_loop_and_writes_its_report(tmp_path: Path) -> None:
    model, data = _tiny_model(tmp_path / "tiny"), tmp_path / "data"
    status, lines, seconds = _demo(data, model, "--seed", "3", "--examples", "16")
    said = "\n".join(line for _, line in lines)
    assert status == 0, said
    for step in ("Import", "Test", "Evaluate", "Probe", "Build dataset", "Train", "Test again", "Evaluate again"):
        assert f"✓ {step}" in said
    gap, before = max((later[0] - earlier[0], earlier[1]) for earlier, later in itertools.pairwise(lines))
    assert gap <= MOST_SILENT_SECONDS, f"silent for {gap:.1f} s after {before!r}"

    report = json.loads((data / "report" / "report.json").read_text())
    assert (report["suite"], report["suite_version"], report["model"], report["seed"]) == (
        "roo_native/core",
        1,
        "tiny@1",
        3,
    )
    assert seconds / 4 < report["duration_seconds"] < seconds
    for side in (report["before"], report["after"]):
        assert set(side) >= SIDE
        assert side["num_cases"] == sum(tool["num_cases"] for tool in side["by_tool"].values()) == 130
        assert sum(side["by_cause"].values()) == round(130 * (1 - side["conforming_rate"]))
    assert "<title>Drillyard: " in (data / "report" / "report.html").read_text()
    assert str(data / "report" / "report.html") in said
    assert "Failures by cause" in said
    assert f"make up DATA={data}" in said
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(data) in " ".join(one.info["cmdline"] or [])]


def test_a_model_that_is_none_ends_the_demo_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    status, lines, _ = _demo(tmp_path / "data", tmp_path / "broken.gguf")
    assert status in (1, 2)
    assert "Traceback" not in "\n".join(line for _, line in lines)
    assert "GGUF" in lines[-1][1] or "file" in lines[-1][1]
    assert not (tmp_path / "data" / "report").exists()
