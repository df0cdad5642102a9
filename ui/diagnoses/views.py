"""Diagnoses as a person sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drillyard.test_runner.v1.diagnosis_pb2 import DiagnoseModelRequest, DiagnoseModelResponse, Severity

_TONES = {"error": "bad", "warning": "warn", "note": "plain"}


@dataclass(frozen=True)
class FindingView:
    """One finding; `tone` colours it."""

    code: str
    severity: str
    tone: str
    problem: str
    fix: str
    evidence: str


@dataclass(frozen=True)
class DiagnosisView:
    """What was found, in one sentence and one by one."""

    title: str
    sentence: str
    tone: str
    findings: list[FindingView]
    checks: list[str]
    num_prompt_tokens: int
    num_context_tokens: int


def diagnosis_view(request: DiagnoseModelRequest, response: DiagnoseModelResponse) -> DiagnosisView:
    """Return the view of a diagnosis."""
    findings = [
        FindingView(
            one.code, _severity(one.severity), _TONES[_severity(one.severity)], one.problem, one.fix, one.evidence
        )
        for one in response.findings
    ]
    severities = [one.severity for one in findings]
    return DiagnosisView(
        title=f"{request.model_version_id} · {request.profile_id}",
        sentence=sentence_of(severities),
        tone="bad" if "error" in severities else "warn" if "warning" in severities else "good",
        findings=findings,
        checks=list(response.checks),
        num_prompt_tokens=response.num_prompt_tokens,
        num_context_tokens=response.num_context_tokens,
    )


def sentence_of(severities: Sequence[str]) -> str:
    """Return what findings of these severities mean together."""
    errors, warnings = severities.count("error"), severities.count("warning")
    if errors:
        return f"The protocol cannot work yet: {_counted(errors, 'error')}, {_counted(warnings, 'warning')}."
    if warnings:
        return f"The protocol can work, but results suffer: {_counted(warnings, 'warning')}."
    return "The template and the settings carry the protocol."


def _severity(number: Severity.ValueType) -> str:
    return Severity.Name(number).removeprefix("SEVERITY_").lower()


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
