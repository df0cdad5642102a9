"""What an evaluation was made of: digests, versions, settings and seeds."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.ports import RunStatus


def provenance_document(record: EvaluationRecord, run: RunStatus) -> dict[str, Any]:
    """Return the provenance as a JSON document."""
    subject, made = record.subject, run.provenance
    return {
        "test_run_id": subject.test_run_id,
        "model_version_id": subject.model_version_id,
        "model_digest": made.model_digest,
        "adapter_digest": made.adapter_digest,
        "test_suite_version_id": subject.test_suite_version_id,
        "test_suite_digest": subject.test_suite_digest,
        "profile_id": subject.profile_id,
        "profile_digest": subject.profile_digest,
        "judge_digest": record.judge_digest,
        "chat_template_digest": made.chat_template_digest,
        "prompt_size": subject.prompt_size,
        "sampling": vars(subject.sampling),
        "seed": subject.seed,
        "num_repeats": subject.num_repeats,
        "throughput": subject.throughput,
        "dtype": made.dtype,
        "device": made.device,
        "num_threads": made.num_threads,
        "endpoint": {
            **({"base_url": subject.endpoint.base_url, "model": subject.endpoint.model} if subject.endpoint else {}),
            **made.endpoint,
        },
        "library_versions": {"drillyard": version("drillyard"), **made.library_versions},
    }


def fact_lines(record: EvaluationRecord, run: RunStatus) -> list[tuple[str, str]]:
    """Return the provenance as lines for a person; what is not known has none."""
    lines: list[tuple[str, str]] = []
    for name, value in provenance_document(record, run).items():
        if isinstance(value, dict):
            lines += [
                (f"{name.replace('_', ' ')}: {key}", str(one)) for key, one in value.items() if one not in ("", None)
            ]
        elif value not in ("", None):
            lines.append((name.replace("_", " "), str(value)))
    return lines
