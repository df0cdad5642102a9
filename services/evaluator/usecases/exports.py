"""What callers may do with exports."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.evaluator.domain.evaluation import ExportFact, ExportFormat
from services.evaluator.exports.inspect_log import write_inspect
from services.evaluator.exports.page import write_html
from services.evaluator.exports.pairs import write_pairs
from services.evaluator.exports.source import Before, Source
from services.evaluator.exports.verdict_lists import write_csv, write_json
from services.evaluator.ports import EvaluationStore, Suites, TestRuns
from services.evaluator.usecases.comparisons import ComparisonUseCases
from services.evaluator.usecases.evaluations import EvaluationUseCases

_CHUNK_CHARACTERS = 128 * 1024
_WRITERS: Mapping[ExportFormat, tuple[str, str, Callable[[Source], AsyncGenerator[str]]]] = {
    ExportFormat.JSON: ("json", "application/json", write_json),
    ExportFormat.CSV: ("csv", "text/csv; charset=utf-8", write_csv),
    ExportFormat.INSPECT: ("inspect.json", "application/json", write_inspect),
    ExportFormat.HTML: ("html", "text/html; charset=utf-8", write_html),
    ExportFormat.PAIRS: ("jsonl", "application/jsonl", write_pairs),
}

_TWO_SIDED = frozenset({ExportFormat.JSON, ExportFormat.HTML})


@dataclass(frozen=True)
class ExportFile:
    """A file that is written while it is read; `chunks` must be read to its end or closed."""

    name: str
    media_type: str
    chunks: AsyncGenerator[bytes]


class ExportUseCases:
    """Writes evaluations as files."""

    def __init__(
        self,
        *,
        store: EvaluationStore,
        evaluations: EvaluationUseCases,
        comparisons: ComparisonUseCases,
        runs: TestRuns,
        suites: Suites,
    ) -> None:
        self._store = store
        self._evaluations = evaluations
        self._comparisons = comparisons
        self._runs = runs
        self._suites = suites

    async def export(
        self, evaluation_id: str, form: ExportFormat, *, before_evaluation_id: str, facts: tuple[ExportFact, ...]
    ) -> ExportFile:
        """Return an evaluation as a file; a page or a JSON object may be set against an earlier evaluation.

        Raises:
            InvalidArgument: The form has no place for an earlier evaluation.
            NotFound: One of the evaluations does not exist.
            FailedPrecondition: Nothing is judged yet, or the two are not comparable.
        """
        if before_evaluation_id and form not in _TWO_SIDED:
            raise InvalidArgument(
                f"A file of the form {form.value.lower()} holds one evaluation only.",
                "Leave the earlier evaluation out, or take json or html.",
                field="before_evaluation_id",
            )
        source = await self._source(evaluation_id, before_evaluation_id, facts)
        suffix, media_type, write = _WRITERS[form]
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", evaluation_id)
        return ExportFile(f"{name}.{suffix}", media_type, _chunks(write(source)))

    async def _source(self, evaluation_id: str, before_id: str, facts: tuple[ExportFact, ...]) -> Source:
        evaluation = await self._evaluations.resource.get(evaluation_id)
        record, job = evaluation.record, evaluation.job
        if not record.num_verdicts:
            raise FailedPrecondition(
                f"The evaluation {evaluation_id} has no verdicts yet.", "Wait for its first ones, then export it again."
            )
        return Source(
            record=record,
            metrics=evaluation.metrics,
            run=await self._runs.get_run(record.subject.test_run_id),
            failing=await self._store.failing(evaluation_id, record.num_verdicts),
            state=job.state.value,
            create_time=job.create_time.isoformat(timespec="seconds"),
            end_time=job.end_time.isoformat(timespec="seconds") if job.end_time else "",
            store=self._store,
            runs=self._runs,
            suites=self._suites,
            before=await self._before(before_id, evaluation_id) if before_id else None,
            facts=facts,
        )

    async def _before(self, before_id: str, after_id: str) -> Before:
        comparison = await self._comparisons.compare(before_id, after_id)
        earlier = await self._evaluations.resource.get(before_id)
        return Before(
            record=earlier.record,
            metrics=earlier.metrics,
            run=await self._runs.get_run(earlier.record.subject.test_run_id),
            failing=await self._store.failing(before_id),
            comparison=comparison,
        )


async def _chunks(pieces: AsyncGenerator[str]) -> AsyncGenerator[bytes]:
    """Yield pieces of a text together, so that each message is worth its way."""
    held: list[str] = []
    size = 0
    async with aclosing(pieces):
        async for piece in pieces:
            for start in range(0, len(piece), _CHUNK_CHARACTERS):
                part = piece[start : start + _CHUNK_CHARACTERS]
                held.append(part)
                size += len(part)
                if size >= _CHUNK_CHARACTERS:
                    yield "".join(held).encode("utf-8", "replace")
                    held, size = [], 0
    if held:
        yield "".join(held).encode("utf-8", "replace")
