"""Test runs as a person sees them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.test_runner.v1.test_run_pb2 import Sampling, TestRun, TestRunSpec

from services.chassis.wire import fields_of
from ui.evaluations.views import EvaluationView, evaluation_view
from ui.shared.jobs import JobView, job_view
from ui.shared.settings import settings_of
from ui.shared.words import span_text

_SAMPLING = [field for field in fields_of(Sampling) if field.name != "max_new_tokens"]
_IN_THE_TITLE = (
    "model_version_id",
    "test_suite_version_id",
    "prompt_size",
    "sampling",
    "num_repeats",
    "seed",
    "dtype",
)


@dataclass(frozen=True)
class TestRunView:
    """One execution of a suite with its newest evaluation, if there is one."""

    test_run_id: str
    model_version_id: str
    test_suite_version_id: str
    subject: str
    prompt_size: str
    num_repeats: int
    sampling: str
    profile_digest: str
    settings: list[tuple[str, str]]
    num_transcripts: int
    num_transcripts_total: int
    num_unanswered: int
    is_incomplete: bool
    tokens_per_second: float
    remaining: str
    provenance: tuple[tuple[str, str], ...]
    job: JobView
    evaluation: EvaluationView | None

    @property
    def num_missing(self) -> int:
        """Cases that have no answer yet."""
        return self.num_transcripts_total - self.num_transcripts + self.num_unanswered


def test_run_view(run: TestRun, evaluation: Evaluation | None = None) -> TestRunView:
    """Return the view of a run; throughput is over all of its working time."""
    job = job_view(run.job)
    return TestRunView(
        test_run_id=run.test_run_id,
        model_version_id=run.spec.model_version_id,
        test_suite_version_id=run.spec.test_suite_version_id,
        subject=_subject(run.spec),
        prompt_size=run.spec.prompt_size or "compact",
        num_repeats=run.spec.num_repeats or 1,
        sampling=_sampling(run),
        profile_digest=run.provenance.profile_digest,
        settings=settings_of(run.spec, leaving_out=_IN_THE_TITLE, changed_only=True),
        num_transcripts=run.num_transcripts,
        num_transcripts_total=run.num_transcripts_total,
        num_unanswered=run.num_unanswered,
        is_incomplete=run.is_incomplete,
        tokens_per_second=run.num_generated_tokens / job.seconds if job.seconds else 0.0,
        remaining=_remaining(run, job),
        provenance=_provenance(run),
        job=job,
        evaluation=evaluation_view(evaluation) if evaluation else None,
    )


def _subject(spec: TestRunSpec) -> str:
    if not spec.HasField("endpoint"):
        return spec.model_version_id
    return f"{spec.endpoint.model} at {urlsplit(spec.endpoint.base_url).netloc}"


def _sampling(run: TestRun) -> str:
    sampling, repeats = run.spec.sampling, run.spec.num_repeats or 1
    words = ["greedy"]
    if sampling.temperature:
        changed = [field for field in _SAMPLING if getattr(sampling, field.name) not in (0, field.default)]
        words = [f"{field.label.lower()} {getattr(sampling, field.name):g}" for field in changed]
        words += [f"seed {run.spec.seed}"]
    words += [f"up to {sampling.max_new_tokens} tokens"] if sampling.max_new_tokens else []
    words += [f"{repeats} repeats"] if repeats > 1 else []
    return ", ".join(words)


def _remaining(run: TestRun, job: JobView) -> str:
    if job.is_final or not run.num_transcripts or run.num_transcripts >= run.num_transcripts_total:
        return ""
    num_left = run.num_transcripts_total - run.num_transcripts
    return span_text(job.seconds * num_left / run.num_transcripts)


def _provenance(run: TestRun) -> tuple[tuple[str, str], ...]:
    provenance = run.provenance
    facts = [
        ("model digest", provenance.model_digest),
        ("adapter digest", provenance.adapter_digest),
        ("suite digest", provenance.test_suite_digest),
        ("profile", provenance.profile_id),
        ("profile digest", provenance.profile_digest),
        ("chat template digest", provenance.chat_template_digest),
        ("number format", provenance.dtype),
        ("device", provenance.device),
        ("CPU threads", str(provenance.num_threads or "")),
        *sorted(provenance.library_versions.items()),
        *((f"endpoint: {name}", value) for name, value in sorted(provenance.endpoint.items())),
    ]
    return tuple((name, value) for name, value in facts if value)
