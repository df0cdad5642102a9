"""What callers may do with verdicts."""

from collections.abc import Collection
from difflib import get_close_matches

from services.chassis.errors import InvalidArgument
from services.chassis.wire.paging import checked_page_size, page_of, place_of
from services.evaluator.domain.verdict import NO_CAUSE, Verdict, VerdictFilter
from services.evaluator.metrics.reduction import kind_of
from services.evaluator.ports import EvaluationStore
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.protocols.verdict import Cause, LayerName

_CAUSES = frozenset({NO_CAUSE, *(cause.value for cause in Cause)})
_MOST_NAMED = 40
_LAYERS = frozenset(layer.value for layer in LayerName)


class VerdictUseCases:
    """Lists verdicts."""

    def __init__(self, *, store: EvaluationStore, evaluations: EvaluationUseCases) -> None:
        self._store = store
        self._evaluations = evaluations

    async def list_verdicts(
        self, evaluation_id: str, verdict_filter: VerdictFilter, *, page_size: int, page_token: str
    ) -> tuple[list[Verdict], str, int]:
        """Return verdicts in the order of judging, the next page's token (empty: none yet), and the number on all.

        Raises:
            NotFound: There is no such evaluation.
            InvalidArgument: The filter names no known cause or layer, or a tool, kind or case without a verdict.
        """
        _check_known("cause", verdict_filter.cause, _CAUSES)
        _check_known("layer", verdict_filter.layer, _LAYERS)
        size, after = checked_page_size(page_size), place_of(page_token, 0)
        await self._evaluations.record(evaluation_id)
        verdicts = await self._store.list_verdicts(evaluation_id, verdict_filter, after_sequence=after, limit=size + 1)
        page, token = page_of(verdicts, size, lambda verdict: verdict.sequence)
        # To look for rare ones is to look through all, and what is on one page is counted.
        is_all = not after and not token
        total = len(page) if is_all else await self._store.count_verdicts(evaluation_id, verdict_filter)
        if not total:
            await self._check_there(evaluation_id, verdict_filter)
        return page, token, total

    async def _check_there(self, evaluation_id: str, verdict_filter: VerdictFilter) -> None:
        """Return when each of the wanted names has a verdict of its own, or when nothing is judged yet."""
        cases = await self._store.case_tallies(evaluation_id)
        if not cases:
            return
        kinds = {name for case in cases for name in (case.category, kind_of(case.category))}
        _check_known("tool", verdict_filter.tool, {case.tool for case in cases})
        _check_known("kind of task", verdict_filter.category, kinds)
        _check_known("case", verdict_filter.case_id, {case.case_id for case in cases})


def _check_known(field: str, value: str, known: Collection[str]) -> None:
    if value and value not in known:
        near = get_close_matches(value[:200], known, n=3) if len(known) > _MOST_NAMED else sorted(known)
        next_step = f"Use one of: {', '.join(near)}." if near else "List the verdicts without it to see what there is."
        raise InvalidArgument(f"There is no {field} {value[:50]!r}.", next_step, field=field)
