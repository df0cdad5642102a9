"""Tries a whole installation: `python -m services.smoke` has a tiny random model tested, trained and tested again.

What it learns is beside the point: every service works, and each hands on to the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_goal_pb2, loop_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import artifact_pb2, import_pb2, registry_service_pb2_grpc, test_suite_pb2
from drillyard.trainer.v1 import training_spec_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.channel import open_blocking_channel, open_channel
from services.chassis.errors import FailedPrecondition, ServiceError
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.tls import TlsFolder
from services.chassis.settings import ServiceSettings, load_settings
from services.chassis.wire import to_message
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile

if TYPE_CHECKING:
    from drillyard.feedback.v1.feedback_service_pb2_grpc import FeedbackServiceAsyncStub
    from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

NAME = "smoke-test"
_HEALTH_SECONDS = 60.0
_PROFILE = "roo_xml"
_NUM_CASES = 2


class SmokeSettings(ServiceSettings, env_prefix="SMOKE_"):
    """Where the services are; the environment variables begin with `SMOKE_`."""

    registry_address: str = "127.0.0.1:7001"
    test_runner_address: str = "127.0.0.1:7002"
    evaluator_address: str = "127.0.0.1:7003"
    trainer_address: str = "127.0.0.1:7004"
    feedback_address: str = "127.0.0.1:7005"


def main(arguments: list[str]) -> int:
    """Return 0 when the loop has gone all the way, else say why not and return 1."""
    parser = argparse.ArgumentParser(prog="python -m services.smoke")
    parser.add_argument("--health-only", action="store_true", help="ask each service for its health, and run no loop")
    is_health_only = parser.parse_args(arguments).health_only
    settings = load_settings(SmokeSettings)
    try:
        _check_health(settings)
        if not is_health_only:
            asyncio.run(_try(settings))
    except ServiceError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    return 0


def _check_health(settings: SmokeSettings) -> None:
    tls = TlsFolder(settings.tls_dir) if settings.tls_dir else None
    for name in ("registry", "test_runner", "evaluator", "trainer", "feedback"):
        address = getattr(settings, f"{name}_address")
        if (health := health_of(address, _HEALTH_SECONDS, tls)) != "SERVING":
            raise FailedPrecondition(f"The service {name} at {address} is {health}.", "Read its log.")
        print(f"{name} {health}", flush=True)


def health_of(address: str, seconds: float, tls: TlsFolder | None = None) -> str:
    """Return SERVING or NOT_SERVING, or the status name of the call when the server gives no answer in time."""
    with open_blocking_channel(address, tls.pems() if tls else None) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def _try(settings: SmokeSettings) -> None:
    token = ServiceToken(settings.token_file) if settings.token_file else None
    tls = TlsFolder(settings.tls_dir) if settings.tls_dir else None
    async with AsyncExitStack() as ending:

        async def stub(make: Callable[[Any], Any], address: str) -> Any:
            channel = open_channel(address, token=token, tls=tls, deadline_seconds=settings.call_seconds)
            return make(await ending.enter_async_context(channel))

        registry = await stub(registry_service_pb2_grpc.RegistryServiceStub, settings.registry_address)
        feedback = await stub(feedback_service_pb2_grpc.FeedbackServiceStub, settings.feedback_address)
        store = ArtifactStore(settings.resolved_artifacts_url(NAME))
        model_version_id = await _import_model(registry, store)
        print(f"model {model_version_id}", flush=True)
        suite = await _add_suite(registry, store)
        await _improve(feedback, model_version_id, suite)


async def _import_model(registry: RegistryServiceAsyncStub, store: ArtifactStore) -> str:
    from services.lm.tiny import write_tiny_model

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tiny"
        await asyncio.to_thread(write_tiny_model, folder)
        artifact = _message(await store.put_tree(folder))
    source = import_pb2.ImportSource(artifact=artifact)
    request = import_pb2.CreateImportRequest(request_id=uuid.uuid4().hex, model_id=NAME, source=source)
    made = (await registry.CreateImport(request)).model_import
    async for _ in registry.WatchImport(import_pb2.WatchImportRequest(import_id=made.import_id)):
        pass
    ended = (await registry.GetImport(import_pb2.GetImportRequest(import_id=made.import_id))).model_import
    _check_succeeded(ended.job)
    return ended.model_version_id


async def _add_suite(registry: RegistryServiceAsyncStub, store: ArtifactStore) -> str:
    cases = get_profile(_PROFILE).suites()[0].cases[:_NUM_CASES]
    text = "".join(json.dumps(case_to_document(case)) + "\n" for case in cases)
    artifact = _message(await store.put_bytes(text.encode()))
    # The cases of another release are another version.
    request = test_suite_pb2.CreateTestSuiteVersionRequest(
        request_id=f"{NAME}-{artifact.digest}", test_suite_id=f"{_PROFILE}/{NAME}", artifact=artifact
    )
    return (await registry.CreateTestSuiteVersion(request)).test_suite_version.test_suite_version_id


async def _improve(feedback: FeedbackServiceAsyncStub, model_version_id: str, suite: str) -> None:
    spec = loop_pb2.LoopSpec(
        model_version_id=model_version_id,
        test_suite_version_id=suite,
        goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=1.0, confidence=0.0)],
        training=training_spec_pb2.TrainingJobSpec(output_model_id=NAME, max_steps=1),
        num_examples=4,
        num_probe_cases=2,
        max_new_tokens=8,
        num_rollouts=1,
    )
    request = loop_pb2.CreateLoopRequest(request_id=uuid.uuid4().hex, spec=spec)
    loop_id = (await feedback.CreateLoop(request)).loop.loop_id
    async for response in feedback.WatchLoop(loop_pb2.WatchLoopRequest(loop_id=loop_id)):
        if response.HasField("step"):
            print(f"round {response.step.round}: {response.step.step} {response.step.state}", flush=True)
    loop = (await feedback.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop
    _check_succeeded(loop.job)
    print(loop.stop_sentence)
    if len({made.model_version_id for made in loop.rounds}) < 2:
        raise FailedPrecondition("The loop ended before it had trained.", f"Read the loop {loop_id}.")


def _message(artifact: Artifact) -> artifact_pb2.Artifact:
    return to_message(artifact, artifact_pb2.Artifact)


def _check_succeeded(job: job_pb2.Job) -> None:
    if job.state != job_pb2.JOB_STATE_SUCCEEDED:
        state = job_pb2.JobState.Name(job.state)
        raise FailedPrecondition(
            f"The {job.kind} {job.job_id} ended as {state}: {job.error.problem}", job.error.next_step
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
