"""What callers may do with verdicts."""

from __future__ import annotations

from services.chassis.errors import InvalidArgument
from services.evaluator.domain.verdict import NO_CAUSE, Verdict, VerdictFilter
from services.evaluator.ports import EvaluationStore
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.evaluator.usecases.paging import checked_page_size, place_of
from services.protocols.verdict import Cause, LayerName

_CAUSES = frozenset({NO_CAUSE, *(cause.value for cause in Cause)})
_LAYERS = frozenset(layer.value for layer in LayerName)


class VerdictUseCases:
    """Lists verdicts."""

    def __init__(self, *, store: EvaluationStore, evaluations: EvaluationUseCases) -> None:
        self._store = store
        self._evaluations = evaluations

    async def list_verdicts(
        self, evaluation_id: str, wanted: VerdictFilter, *, page_size: int, page_token: str
    ) -> tuple[list[Verdict], str, int]:
        """Return verdicts in the order of judging, the next page's token (empty: none yet), and the number on all.

        Raises:
            NotFound: There is no such evaluation.
            InvalidArgument: The filter names no known cause or layer.
        """
        _check_known("cause", wanted.cause, _CAUSES)
        _check_known("layer", wanted.layer, _LAYERS)
        size = checked_page_size(page_size)
        await self._evaluations.record(evaluation_id)
        after = place_of(page_token) or 0
        found = await self._store.list_verdicts(evaluation_id, wanted, after_sequence=after, limit=size + 1)
        total = await self._store.count_verdicts(evaluation_id, wanted)
        token = str(found[size - 1].sequence) if len(found) > size else ""
        return list(found[:size]), token, total


def _check_known(field: str, value: str, known: frozenset[str]) -> None:
    if value and value not in known:
        raise InvalidArgument(
            f"There is no {field} {value[:50]!r}.", f"Use one of: {', '.join(sorted(known))}.", field=field
        )
