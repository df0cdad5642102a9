"""The RPCs of this service: wire in, use case, wire out; one file per noun."""

from __future__ import annotations

from services.evaluator.servicer.comparisons import ComparisonMethods
from services.evaluator.servicer.evaluations import EvaluationMethods
from services.evaluator.servicer.exports import ExportMethods
from services.evaluator.servicer.judgements import JudgementMethods
from services.evaluator.servicer.verdicts import VerdictMethods
from services.evaluator.usecases.comparisons import ComparisonUseCases
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.evaluator.usecases.exports import ExportUseCases
from services.evaluator.usecases.judgements import JudgementUseCases
from services.evaluator.usecases.verdicts import VerdictUseCases

SERVICE_NAME = "drillyard.evaluator.v1.EvaluatorService"


class EvaluatorServicer(EvaluationMethods, VerdictMethods, JudgementMethods, ComparisonMethods, ExportMethods):
    """Answers `EvaluatorService`; the contract documents each method."""

    def __init__(
        self,
        *,
        evaluations: EvaluationUseCases,
        verdicts: VerdictUseCases,
        judgements: JudgementUseCases,
        comparisons: ComparisonUseCases,
        exports: ExportUseCases,
    ) -> None:
        self._evaluations = evaluations
        self._verdicts = verdicts
        self._judgements = judgements
        self._comparisons = comparisons
        self._exports = exports
