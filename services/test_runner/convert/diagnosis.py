"""Diagnoses, from and to the wire."""

from drillyard.test_runner.v1 import diagnosis_pb2

from services.chassis.wire import from_message
from services.lm.doctor.diagnosis import Diagnosis, Finding, Severity
from services.test_runner.domain.diagnosis import DiagnosisSpec

_SEVERITIES: dict[Severity, diagnosis_pb2.Severity.ValueType] = {
    "note": diagnosis_pb2.SEVERITY_NOTE,
    "warning": diagnosis_pb2.SEVERITY_WARNING,
    "error": diagnosis_pb2.SEVERITY_ERROR,
}


def diagnosis_spec_from_proto(message: diagnosis_pb2.DiagnoseModelRequest) -> DiagnosisSpec:
    """Return the spec with what is unset as its default."""
    return from_message(DiagnosisSpec, message)


def diagnosis_to_proto(diagnosis: Diagnosis) -> diagnosis_pb2.DiagnoseModelResponse:
    """Return the findings with what was looked at."""
    return diagnosis_pb2.DiagnoseModelResponse(
        findings=map(_finding, diagnosis.findings),
        checks=diagnosis.checks,
        num_prompt_tokens=diagnosis.num_prompt_tokens,
        num_context_tokens=diagnosis.num_context_tokens,
    )


def _finding(finding: Finding) -> diagnosis_pb2.Finding:
    return diagnosis_pb2.Finding(
        code=finding.code,
        severity=_SEVERITIES[finding.severity],
        problem=finding.problem,
        fix=finding.fix,
        evidence=finding.evidence,
    )
