"""Test runs as a person sees them."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.test_runner.v1.test_run_pb2 import TestRun

from ui.views.evaluations import EvaluationView, evaluation_view
from ui.views.jobs import JobView, job_view
from ui.views.words import span_text


@dataclass(frozen=True)
class TestRunView:
    """One execution of a suite with its newest evaluation, if there is one."""

    test_run_id: str
    model_version_id: str
    test_suite_version_id: str
    prompt_size: str
    sampling: str
    num_transcripts: int
    num_transcripts_total: int
    tokens_per_second: float
    remaining: str
    provenance: tuple[tuple[str, str], ...]
    job: JobView
    evaluation: EvaluationView | None


def test_run_view(run: TestRun, evaluation: Evaluation | None = None) -> TestRunView:
    """Return the view of a run; throughput is over all of its working time."""
    job = job_view(run.job)
    return TestRunView(
        test_run_id=run.test_run_id,
        model_version_id=run.spec.model_version_id,
        test_suite_version_id=run.spec.test_suite_version_id,
        prompt_size=run.spec.prompt_size or "compact",
        sampling=_sampling(run),
        num_transcripts=run.num_transcripts,
        num_transcripts_total=run.num_transcripts_total,
        tokens_per_second=run.num_generated_tokens / job.seconds if job.seconds else 0.0,
        remaining=_remaining(run, job),
        provenance=_provenance(run),
        job=job,
        evaluation=evaluation_view(evaluation) if evaluation else None,
    )


def _sampling(run: TestRun) -> str:
    sampling, repeats = run.spec.sampling, run.spec.num_repeats or 1
    chosen = f"temperature {sampling.temperature:g}, seed {run.spec.seed}" if sampling.temperature else "greedy"
    return f"{chosen}, {repeats} repeats" if repeats > 1 else chosen


def _remaining(run: TestRun, job: JobView) -> str:
    if job.is_final or not run.num_transcripts or run.num_transcripts >= run.num_transcripts_total:
        return ""
    left = run.num_transcripts_total - run.num_transcripts
    return span_text(job.seconds * left / run.num_transcripts)


def _provenance(run: TestRun) -> tuple[tuple[str, str], ...]:
    found = run.provenance
    facts = [
        ("model digest", found.model_digest),
        ("adapter digest", found.adapter_digest),
        ("suite digest", found.test_suite_digest),
        ("profile", found.profile_id),
        ("profile digest", found.profile_digest),
        ("chat template digest", found.chat_template_digest),
        ("number format", found.dtype),
        ("CPU threads", str(found.num_threads or "")),
        *sorted(found.library_versions.items()),
    ]
    return tuple((name, value) for name, value in facts if value)
