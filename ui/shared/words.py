"""Numbers, times and sizes in words, the same on every surface."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from drillyard.evaluator.v1 import evaluation_pb2
from drillyard.feedback.v1 import dataset_build_pb2, feedback_file_pb2, loop_phase_pb2, shipment_pb2
from drillyard.registry.v1 import dataset_import_pb2, export_pb2, import_pb2, publication_pb2
from drillyard.test_runner.v1 import test_run_pb2
from drillyard.test_runner.v1.transcript_pb2 import Message
from drillyard.trainer.v1 import training_job_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from markupsafe import Markup

from services.chassis.wire.fields import enum_prefix, label_of

_KINDS = {"gguf": "GGUF", "gguf_adapter": "GGUF adapter", "ollama": "Ollama"}
_UNITS = ("B", "kB", "MB", "GB", "TB")


def kind_text(name: str) -> str:
    """Return a kind of model version in words, such as `adapter` for `MODEL_VERSION_KIND_ADAPTER`."""
    kind = name.removeprefix("MODEL_VERSION_KIND_").lower()
    return _KINDS.get(kind, kind)


def size_text(num_bytes: int) -> str:
    """Return a size with three digits, such as `541 MB`."""
    value, unit = float(num_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else (1 if value >= 9.995 else 2)
    return f"{value:.{digits}f} {_UNITS[unit]}"


def count_text(number: int) -> str:
    """Return a large count as `135 M` or `1.2 B`; small ones in full."""
    for bound, suffix in ((1_000_000_000, "B"), (1_000_000, "M")):
        if number >= bound:
            value = number / bound
            return f"{value:.0f} {suffix}" if value >= 99.5 else f"{value:.3g} {suffix}"
    return f"{number:,}"


def span_text(seconds: float) -> str:
    """Return a length of time as `48 s`, `3 min 20 s` or `1 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent_text(rate: float) -> str:
    """Return a share as `78 %`, with one decimal when it would read as all or nothing and is neither."""
    rounded = round(100 * rate)
    return f"{100 * rate:.1f} %" if rounded in (0, 100) and rate not in (0.0, 1.0) else f"{rounded} %"


def time_text(when: Timestamp) -> str:
    """Return a time such as `22 Nov 15:04:05` as HTML, empty when it is not set.

    A page's script puts it into the person's zone; it is of this machine's clock until then.
    """
    seconds = seconds_of(when)
    if not seconds:
        return ""
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{}">{}</time>').format(moment, local_time(seconds))


def local_time(seconds: float, zone: str = "") -> str:
    """Return a time such as `22 Nov 15:04:05` in a zone such as `Europe/Vienna`, or by this machine's clock."""
    try:
        clock = ZoneInfo(zone) if zone else None
    except (ValueError, ZoneInfoNotFoundError, OSError):
        clock = None
    return f"{datetime.fromtimestamp(seconds, clock):%-d %b %H:%M:%S}"


def phase_text(kind: str, phase: str) -> str:
    """Return what a kind of job does in a phase, such as `loading the model`; an unknown phase by its own name."""
    return _phase_labels(kind).get(phase, phase.replace("_", " "))


def seconds_of(when: Timestamp) -> float:
    """Return seconds since the epoch; 0 when the time is not set."""
    return when.seconds + when.nanos / 1e9


_PHASES = {
    "import": import_pb2.ImportPhase,
    "export": export_pb2.ExportPhase,
    "publication": publication_pb2.PublicationPhase,
    "test_run": test_run_pb2.TestRunPhase,
    "evaluation": evaluation_pb2.EvaluationPhase,
    "training_job": training_job_pb2.TrainingJobPhase,
    "loop": loop_phase_pb2.LoopPhase,
    "dataset_import": dataset_import_pb2.DatasetImportPhase,
    "dataset_build": dataset_build_pb2.DatasetBuildPhase,
    "feedback_import": feedback_file_pb2.FeedbackImportPhase,
    "shipment": shipment_pb2.GateStep,
}


@cache
def _phase_labels(kind: str) -> dict[str, str]:
    if kind not in _PHASES:
        return {}
    phases = _PHASES[kind].DESCRIPTOR
    prefix = enum_prefix(phases)
    return {value.name.removeprefix(prefix).lower(): label_of(phases, value.number) for value in phases.values}


def enum_text(message: Any, field: str) -> str:
    """Return the word for the value that a message's field of an enum has, empty when that is unset."""
    value = getattr(message, field)
    return label_of(message.DESCRIPTOR.fields_by_name[field].enum_type, value) if value else ""


def calls_text(message: Message) -> tuple[str, ...]:
    """Return the calls of a message as text."""
    return tuple(f"{call.name}({call.arguments})" for call in message.tool_calls)
