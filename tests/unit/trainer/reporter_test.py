"""What a training process tells its service, and what it does when the service is away or refuses."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from drillyard.trainer.v1 import attempt_pb2, training_job_pb2

from services.chassis.machine import tls
from services.chassis.wire import from_document
from services.trainer.domain.attempt import AttemptOutcome, TrainingJobPhase
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.servicer import SERVICE_NAME
from services.trainer.training.reporter import Reporter, ServiceAwayError
from tests.machine import PATIENCE_SECONDS

PLAN = AttemptPlan(
    training_job_id="train-1",
    attempt=2,
    epoch=5,
    report_address="",
    config_digest="sha256:config",
    spec=from_document(TrainingJobSpec, {"model_version_id": "tiny@1", "dataset_version_id": "drills@1"}),
    base_folder="/base",
    adapter_folder="",
    dataset_file="/drills",
    checkpoint_folder="/checkpoints",
    resume_from="",
    scratch_folder="/scratch",
    num_threads=1,
)


@dataclass
class Listener:
    """Takes reports; answers each with the next of `refusals` first."""

    refusals: list[grpc.StatusCode] = field(default_factory=list)
    stop_requested: bool = False
    heard: list[attempt_pb2.ReportAttemptRequest] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def report_attempt(self, request: Any, context: Any) -> Any:
        with self.changed:
            if self.refusals:
                context.abort(self.refusals.pop(0), "Refused.")
            self.heard.append(request)
            self.changed.notify_all()
        return attempt_pb2.ReportAttemptResponse(stop_requested=self.stop_requested)

    def wait_for_reports(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.heard) >= count, PATIENCE_SECONDS)


@contextlib.contextmanager
def listening(listener: Listener, credentials: grpc.ServerCredentials | None = None) -> Iterator[AttemptPlan]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    method = grpc.unary_unary_rpc_method_handler(
        listener.report_attempt,
        request_deserializer=attempt_pb2.ReportAttemptRequest.FromString,
        response_serializer=attempt_pb2.ReportAttemptResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler(SERVICE_NAME, {"ReportAttempt": method})
    server.add_generic_rpc_handlers((service,))
    port = (
        server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    )
    server.start()
    try:
        yield replace(PLAN, report_address=f"127.0.0.1:{port}")
    finally:
        server.stop(0).wait()


def write_certificates(folder: Path, ca: trustme.CA) -> None:
    certificate = ca.issue_cert("dy-trainer")
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    ca.cert_pem.write_to_path(folder / "ca.crt")


def test_reports_over_tls_go_on_with_new_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_READ_SECONDS", 0.0)
    write_certificates(tmp_path, trustme.CA())
    listener = Listener()
    with listening(listener, tls.TlsFolder(tmp_path).server_credentials()) as plan:
        reporter = Reporter(replace(plan, tls_folder=str(tmp_path), report_name="dy-trainer"))
        reporter.step(1, 2, {"loss": 1.0})
        reporter.flush()
        write_certificates(tmp_path, trustme.CA())
        reporter.step(2, 2, {"loss": 0.5})
        reporter.close(AttemptOutcome.SUCCEEDED)
    assert points_of(listener) == [("loss", 1, 1.0), ("loss", 2, 0.5)]


def points_of(listener: Listener) -> list[tuple[str, int, float]]:
    return [(point.metric, point.step, point.value) for report in listener.heard for point in report.curve_points]


def test_points_arrive_once_and_in_order_under_the_attempt_and_its_epoch() -> None:
    listener = Listener()
    with listening(listener) as plan:
        reporter = Reporter(plan)
        for step in (1, 2, 3):
            reporter.step(step, 3, {"loss": 1.0 / step})
            reporter.flush()
        reporter.close(AttemptOutcome.SUCCEEDED)
    assert points_of(listener) == [("loss", 1, 1.0), ("loss", 2, 0.5), ("loss", 3, pytest.approx(1 / 3))]
    assert {(item.training_job_id, item.attempt, item.epoch) for item in listener.heard} == {("train-1", 2, 5)}
    last = listener.heard[-1]
    assert (last.outcome, last.num_steps_done) == (training_job_pb2.ATTEMPT_OUTCOME_SUCCEEDED, 3)


def test_all_that_a_person_should_know_arrives_each_sentence_once() -> None:
    listener = Listener(refusals=[grpc.StatusCode.UNAVAILABLE])
    with listening(listener) as plan:
        reporter = Reporter(plan)
        reporter.notice("No prefix is shared.")
        reporter.notice("2 of 4 rows are not asked.")
        reporter.close(AttemptOutcome.SUCCEEDED)
    heard = [notice for report in listener.heard for notice in report.notices]
    assert heard == ["No prefix is shared.", "2 of 4 rows are not asked."]


def test_silence_in_the_loop_still_gives_signs_of_life() -> None:
    listener = Listener()
    with listening(listener) as plan:
        reporter = Reporter(plan, heartbeat_seconds=0.05)
        reporter.phase("load_model")
        listener.wait_for_reports(3)
        reporter.close(AttemptOutcome.STOPPED)
    assert listener.heard[1].phase == "load_model"
    assert all(report.host_memory_bytes > 1 << 20 and not report.gpu_memory_bytes for report in listener.heard)


def test_a_service_that_comes_back_gets_what_it_missed() -> None:
    refusals = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED]
    listener = Listener(refusals=refusals)
    with listening(listener) as plan:
        reporter = Reporter(plan)
        reporter.step(1, 2, {"loss": 2.0})
        reporter.flush()
        reporter.close(AttemptOutcome.FAILED, "It is too long.", is_permanent=True)
    assert points_of(listener) == [("loss", 1, 2.0)]
    assert (listener.heard[-1].reason, listener.heard[-1].is_permanent) == ("It is too long.", True)


def test_a_service_that_stays_away_ends_the_training() -> None:
    reporter = Reporter(replace(PLAN, report_address="127.0.0.1:1"), patience_seconds=0.2)
    reporter.step(1, 2, {"loss": 2.0})
    with pytest.raises(ServiceAwayError, match="was away"):
        reporter.flush()
    with pytest.raises(ServiceAwayError):
        reporter.step(2, 2, {})


def test_an_attempt_that_stands_still_prints_the_stacks_of_its_threads(capfd: pytest.CaptureFixture[str]) -> None:
    with listening(Listener()) as plan:
        reporter = Reporter(replace(plan, stall_seconds=0.1))
        reporter.phase(TrainingJobPhase.LOAD_MODEL)
        printed, end = "", time.monotonic() + PATIENCE_SECONDS
        while "most recent call first" not in printed and time.monotonic() < end:
            time.sleep(0.02)
            printed += capfd.readouterr().err
        reporter.close(AttemptOutcome.FAILED)
    assert "in _send_until_ended" in printed and "in test_an_attempt_that_stands_still" in printed


def test_a_stale_attempt_ends_its_process() -> None:
    listener, ended = Listener(refusals=[grpc.StatusCode.FAILED_PRECONDITION]), threading.Event()
    with listening(listener) as plan:
        reporter = Reporter(plan, on_fenced=ended.set)
        reporter.step(1, 2, {"loss": 2.0})
        assert ended.wait(PATIENCE_SECONDS)
        with pytest.raises(ServiceAwayError):
            reporter.flush()
    assert listener.heard == []


def test_the_service_may_ask_the_attempt_to_end() -> None:
    listener = Listener(stop_requested=True)
    with listening(listener) as plan:
        reporter = Reporter(plan)
        reporter.step(1, 2, {"loss": 2.0})
        reporter.flush()
        assert reporter.stop_requested
        reporter.close(AttemptOutcome.STOPPED)
