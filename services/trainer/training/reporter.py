"""Tells the trainer service how an attempt goes, and ends the process once the attempt is not the job's any more."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2

from services.chassis.channel import open_blocking_channel
from services.chassis.machine.memory import own_memory_bytes
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.tls import TlsFolder
from services.chassis.wire import to_message
from services.trainer.domain.attempt import AttemptOutcome, Checkpoint, TrainingJobPhase
from services.trainer.domain.plan import AttemptPlan

HEARTBEAT_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
FENCED_EXIT_CODE = 75
_CALL_SECONDS = 10.0
# So long before the service ends an attempt that stands still, its log gets the stacks of all its threads.
_STACKS_SECONDS = 30.0
_RETRY_SECONDS = 0.5
_AWAY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # Its disk is full, or it has too many callers.
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class ServiceAwayError(Exception):
    """The trainer service does not answer, or refuses what is reported."""


class Reporter:
    """Sends what it is told from a thread of its own, at least every two seconds.

    A report that the service refuses as stale ends the process: another attempt has its place by then, and nothing
    that this one still writes may count.
    """

    def __init__(
        self,
        plan: AttemptPlan,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        is_stopped: Callable[[], bool] = lambda: False,
        on_fenced: Callable[[], None] = lambda: os._exit(FENCED_EXIT_CODE),
    ) -> None:
        self._plan = plan
        self._patience_seconds = patience_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._is_stopped = is_stopped
        self._on_fenced = on_fenced
        self._tls = TlsFolder(Path(plan.tls_folder)) if plan.tls_folder else None
        self._pems = self._tls.pems() if self._tls else None
        self._channel = self._open_channel()
        self._token = ServiceToken(Path(plan.token_file)) if plan.token_file else None
        self._lock = threading.Condition()
        self._news = threading.Event()
        self._pending = attempt_pb2.ReportAttemptRequest(
            training_job_id=plan.training_job_id, attempt=plan.attempt, epoch=plan.epoch
        )
        self._ended = False
        self._failure = ""
        self._stop_requested = False
        self._thread = threading.Thread(target=self._send_until_ended, name="reporter", daemon=True)
        self._thread.start()

    @property
    def stop_requested(self) -> bool:
        """Whether the attempt shall save and end; every worker asks once a step, since Ray lets them agree on it."""
        return self._is_stopped() or self._stop_requested

    def phase(self, phase: TrainingJobPhase) -> None:
        """Say what is being done now."""
        self._moves()
        with self._lock:
            self._pending.phase = phase
        self._news.set()

    def notice(self, text: str) -> None:
        """Say what a person should know of how the attempt computes."""
        with self._lock:
            self._pending.notices.append(text)
        self._news.set()

    def step(self, done: int, total: int, values: dict[str, float]) -> None:
        """Say that `done` steps are done, with what was measured after the last one.

        Raises:
            ServiceAwayError: Nothing could be reported for half a minute.
        """
        self._check()
        self._moves()
        with self._lock:
            self._pending.num_steps_done, self._pending.num_steps_total = done, total
            for metric, value in values.items():
                point = checkpoint_pb2.CurvePoint(metric=metric, step=done, value=value, attempt=self._plan.attempt)
                self._pending.curve_points.append(point)
        self._news.set()

    def checkpoint(self, item: Checkpoint) -> None:
        """Say that a checkpoint is whole."""
        with self._lock:
            self._pending.checkpoints.append(to_message(item, checkpoint_pb2.Checkpoint))
        self._news.set()

    def flush(self) -> None:
        """Return when the service has stored every point and checkpoint so far.

        Raises:
            ServiceAwayError: It was away for half a minute, or it refused them.
        """
        with self._lock:
            self._news.set()
            self._lock.wait_for(lambda: self._failure or not (self._pending.curve_points or self._pending.checkpoints))
        self._check()

    def _moves(self) -> None:
        if stall_seconds := self._plan.stall_seconds:
            faulthandler.dump_traceback_later(max(stall_seconds - _STACKS_SECONDS, stall_seconds / 2))

    def _check(self) -> None:
        if self._failure:
            raise ServiceAwayError(self._failure)

    def close(self, outcome: AttemptOutcome, reason: str = "", *, is_permanent: bool = False) -> None:
        """Report how the attempt ended, once, and return when it is known to the service or the service is away."""
        with self._lock:
            self._pending.outcome = training_job_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{outcome.name}")
            self._pending.reason, self._pending.is_permanent = reason, is_permanent
            self._ended = True
        faulthandler.cancel_dump_traceback_later()
        self._news.set()
        self._thread.join(self._patience_seconds + _CALL_SECONDS)
        self._channel.close()

    def _send_until_ended(self) -> None:
        last_answer = time.monotonic()
        while not self._failure:
            self._news.wait(self._heartbeat_seconds)
            self._news.clear()
            with self._lock:
                request, is_last = attempt_pb2.ReportAttemptRequest(), self._ended
                request.CopyFrom(self._pending)
            request.host_memory_bytes = own_memory_bytes(os.getpid())
            request.gpu_memory_bytes = _gpu_memory_bytes()
            try:
                self._stop_requested = self._report(request).stop_requested
            except grpc.RpcError as error:
                self._refused(error, last_answer)
                continue
            last_answer = time.monotonic()
            with self._lock:
                del self._pending.curve_points[: len(request.curve_points)]
                del self._pending.checkpoints[: len(request.checkpoints)]
                del self._pending.notices[: len(request.notices)]
                self._lock.notify_all()
            if is_last:
                return

    def _report(self, request: attempt_pb2.ReportAttemptRequest) -> attempt_pb2.ReportAttemptResponse:
        metadata = (self._token.metadata,) if self._token else ()
        if self._tls and self._tls.pems() is not self._pems:
            self._channel.close()
            self._pems = self._tls.pems()
            self._channel = self._open_channel()
        stub = trainer_service_pb2_grpc.TrainerServiceStub(self._channel)
        return stub.ReportAttempt(request, timeout=_CALL_SECONDS, metadata=metadata)

    def _open_channel(self) -> grpc.Channel:
        return open_blocking_channel(self._plan.report_address, self._pems, server_name=self._plan.report_name)

    def _refused(self, error: grpc.RpcError, last_answer: float) -> None:
        # The stubs' errors are calls too, which is what carries the code.
        code, details = (error.code(), error.details()) if isinstance(error, grpc.Call) else (None, str(error))
        if code is grpc.StatusCode.FAILED_PRECONDITION:
            self._fail(str(details))
            self._on_fenced()
        elif code not in _AWAY:
            self._fail(f"The trainer service refused a report: {details}")
        elif time.monotonic() - last_answer > self._patience_seconds:
            self._fail(f"The trainer service was away for {self._patience_seconds:.0f} seconds.")
        else:
            time.sleep(_RETRY_SECONDS)
            self._news.set()

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._failure = reason
            self._lock.notify_all()


def _gpu_memory_bytes() -> int:
    # Whoever only loads rows has no torch, and asking must not be what takes a GPU.
    torch = sys.modules.get("torch")
    return int(torch.cuda.memory_reserved()) if torch and torch.cuda.is_initialized() else 0


class Silence:
    """Reports nothing: the first worker speaks for all."""

    def __init__(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._is_stopped = is_stopped

    @property
    def stop_requested(self) -> bool:
        """Whether the attempt shall save and end."""
        return self._is_stopped()

    def phase(self, phase: TrainingJobPhase) -> None:
        """Take note of nothing."""

    def notice(self, text: str) -> None:
        """Take note of nothing."""

    def step(self, done: int, total: int, values: dict[str, float]) -> None:
        """Take note of nothing."""

    def checkpoint(self, item: Checkpoint) -> None:
        """Take note of nothing."""

    def flush(self) -> None:
        """Wait for nothing."""

    def close(self, outcome: AttemptOutcome, reason: str = "", *, is_permanent: bool = False) -> None:
        """Take note of nothing."""
