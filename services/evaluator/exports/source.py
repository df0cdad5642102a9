"""What exports are written from: verdicts, transcripts and provenance."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from services.evaluator.domain.comparison import Comparison
from services.evaluator.domain.evaluation import EvaluationRecord, ExportFact
from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.tallies import Failing
from services.evaluator.domain.verdict import Verdict, VerdictFilter
from services.evaluator.ports import EvaluationStore, RunStatus, Suites, TestRuns, Transcript

_PAGE_SIZE = 200


@dataclass(frozen=True)
class Before:
    """The earlier evaluation that a page is set against."""

    record: EvaluationRecord
    metrics: Metrics
    run: RunStatus
    failing: Sequence[Failing]
    comparison: Comparison


@dataclass(frozen=True)
class Source:
    """One evaluation, with the means to read its verdicts and transcripts page by page."""

    record: EvaluationRecord
    metrics: Metrics
    run: RunStatus
    failing: Sequence[Failing]
    state: str
    create_time: str
    end_time: str
    store: EvaluationStore
    runs: TestRuns
    suites: Suites
    before: Before | None = None
    facts: tuple[ExportFact, ...] = ()

    async def verdicts(self, verdict_filter: VerdictFilter = VerdictFilter()) -> AsyncGenerator[Verdict]:
        """Yield the wanted verdicts in the order of judging."""
        after = 0
        while page := await self.store.list_verdicts(
            self.record.evaluation_id, verdict_filter, after_sequence=after, limit=_PAGE_SIZE
        ):
            for verdict in page:
                yield verdict
            after = page[-1].sequence

    async def answered(
        self, chosen_verdicts: Sequence[Verdict] | None = None
    ) -> AsyncGenerator[tuple[Verdict, Transcript]]:
        """Yield verdicts with their transcripts: the wanted ones in their order, else all in the order of judging."""
        page: dict[int, Transcript] = {}
        async with aclosing(_each(chosen_verdicts) if chosen_verdicts is not None else self.verdicts()) as verdicts:
            async for verdict in verdicts:
                if verdict.sequence not in page:
                    transcripts = await self.runs.list_transcripts(
                        self.record.subject.test_run_id, verdict.sequence - 1
                    )
                    page = {transcript.sequence: transcript for transcript in transcripts}
                if transcript := page.get(verdict.sequence):
                    yield verdict, transcript


async def _each(verdicts: Sequence[Verdict]) -> AsyncGenerator[Verdict]:
    for verdict in verdicts:
        yield verdict


def provenance_document(record: EvaluationRecord, run: RunStatus) -> dict[str, Any]:
    """Return the provenance as a JSON document."""
    subject, provenance = record.subject, run.provenance
    return {
        "test_run_id": subject.test_run_id,
        "model_version_id": subject.model_version_id,
        "model_digest": provenance.model_digest,
        "adapter_digest": provenance.adapter_digest,
        "test_suite_version_id": subject.test_suite_version_id,
        "test_suite_digest": subject.test_suite_digest,
        "profile_id": subject.profile_id,
        "profile_digest": subject.profile_digest,
        "judge_digest": record.judge_digest,
        "chat_template_digest": provenance.chat_template_digest,
        "prompt_size": subject.prompt_size,
        "sampling": vars(subject.sampling),
        "seed": subject.seed,
        "num_repeats": subject.num_repeats,
        "throughput": subject.throughput,
        "dtype": provenance.dtype,
        "device": provenance.device,
        "num_threads": provenance.num_threads,
        "endpoint": {
            **({"base_url": subject.endpoint.base_url, "model": subject.endpoint.model} if subject.endpoint else {}),
            **provenance.endpoint,
        },
        "library_versions": {"drillyard": version("drillyard"), **provenance.library_versions},
    }


def fact_lines(record: EvaluationRecord, run: RunStatus) -> list[tuple[str, str]]:
    """Return the provenance as lines for a person; what is not known has none."""
    lines: list[tuple[str, str]] = []
    for name, value in provenance_document(record, run).items():
        if isinstance(value, dict):
            lines += [
                (f"{name.replace('_', ' ')}: {key}", str(entry))
                for key, entry in value.items()
                if entry not in ("", None)
            ]
        elif value not in ("", None):
            lines.append((name.replace("_", " "), str(value)))
    return lines
