"""Comparing two runs."""

from __future__ import annotations

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.jobs import JobStore
from services.test_runner.domain.comparison import (
    Difference,
    RunComparison,
    first_difference,
    has_equal_answers,
    provenance_differences,
)
from services.test_runner.domain.test_run import RunRecord
from services.test_runner.domain.transcript import Transcript
from services.test_runner.ports.store import RunStore
from services.test_runner.usecases.test_run import TestRun, test_runs

_CHUNK = 50
_DEFAULT_DIFFERENCES = 50
_MAX_DIFFERENCES = 1000


class ComparisonUseCases:
    """Says whether two runs have the same transcripts; holds a page of each at a time."""

    def __init__(self, *, jobs: JobStore, store: RunStore) -> None:
        self._runs = test_runs(jobs, store)
        self._store = store

    async def compare(self, before_id: str, after_id: str, max_differences: int) -> RunComparison:
        """Return what two runs of one suite version have in common.

        Raises:
            NotFound: There is no such run.
            FailedPrecondition: The runs are of two suite versions, or one has not begun.
            InvalidArgument: The number of differences is out of bounds.
        """
        if not 0 <= max_differences <= _MAX_DIFFERENCES:
            raise InvalidArgument(
                f"max_differences is {max_differences}.",
                f"Use 1 to {_MAX_DIFFERENCES}, or 0 for {_DEFAULT_DIFFERENCES}.",
                field="max_differences",
            )
        before, after = [await self._runs.get(run_id) for run_id in (before_id, after_id)]
        left, right = _comparable(before, after)
        tally = _Tally(max_differences or _DEFAULT_DIFFERENCES)
        place = 0
        while page := await self._store.list_transcripts(before_id, place, _CHUNK):
            await self._compare_page(page, after_id, tally)
            place = page[-1].sequence
        for case_id, repeat in sorted(await self._missing(before_id, after_id)):
            tally.differ(Difference(case_id, repeat, "missing", after="only the second run has it"))
        return tally.result(provenance_differences((before.spec, left), (after.spec, right)))

    async def _compare_page(self, page: tuple[Transcript, ...], after_id: str, tally: _Tally) -> None:
        others = await self._store.find_transcripts(after_id, sorted({item.case_id for item in page}))
        by_case = {(item.case_id, item.repeat): item for item in others}
        for item in page:
            tally.compare(item, by_case.get((item.case_id, item.repeat)))

    async def _missing(self, before_id: str, after_id: str) -> frozenset[tuple[str, int]]:
        return await self._store.stored_cases(after_id) - await self._store.stored_cases(before_id)


class _Tally:
    """Counts what was compared and keeps the first differences."""

    def __init__(self, max_differences: int) -> None:
        self._max_differences = max_differences
        self._num_compared = self._num_identical = self._num_equal = self._num_different = self._num_unanswered = 0
        self._differences: list[Difference] = []

    def compare(self, before: Transcript, after: Transcript | None) -> None:
        if after is None:
            return self.differ(Difference(before.case_id, before.repeat, "missing", before="only the first run has it"))
        if not (before.is_answered and after.is_answered):
            self._num_unanswered += 1
            return None
        self._num_compared += 1
        self._num_equal += has_equal_answers(before, after)
        difference = first_difference(before, after)
        if difference is None:
            self._num_identical += 1
            return None
        return self.differ(difference)

    def differ(self, difference: Difference) -> None:
        self._num_different += 1
        if len(self._differences) < self._max_differences:
            self._differences.append(difference)

    def result(self, provenance: tuple[str, ...]) -> RunComparison:
        return RunComparison(
            num_compared=self._num_compared,
            num_identical=self._num_identical,
            num_equal_answers=self._num_equal,
            differences=tuple(self._differences),
            is_identical=not self._num_different and not self._num_unanswered and self._num_compared > 0,
            provenance_differences=provenance,
            num_unanswered=self._num_unanswered,
        )


def _comparable(before: TestRun, after: TestRun) -> tuple[RunRecord, RunRecord]:
    if before.record is None or after.record is None:
        raise FailedPrecondition("One of the runs has not begun yet.", "Compare them once both have begun.")
    suites = [run.record.inputs.test_suite_version_id for run in (before, after) if run.record]
    if suites[0] != suites[1]:
        raise FailedPrecondition(
            f"The runs are of two suites: {suites[0]} and {suites[1]}.", "Compare two runs of one suite version."
        )
    return before.record, after.record
