"""Diagnoses as a person sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drillyard.test_runner.v1.diagnosis_pb2 import DiagnoseModelRequest, DiagnoseModelResponse, Finding

from ui.shared.words import enum_text


@dataclass(frozen=True)
class DiagnosisView:
    """What was found, in one sentence and one by one."""

    title: str
    sentence: str
    tone: str
    findings: list[Finding]
    checks: list[str]
    num_prompt_tokens: int
    num_context_tokens: int


def diagnosis_view(request: DiagnoseModelRequest, response: DiagnoseModelResponse) -> DiagnosisView:
    """Return the view of a diagnosis."""
    severities = [enum_text(finding, "severity") for finding in response.findings]
    return DiagnosisView(
        title=f"{request.model_version_id} · {request.profile_id}",
        sentence=sentence_of(severities),
        tone="bad" if "error" in severities else "warn" if "warning" in severities else "good",
        findings=list(response.findings),
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


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
