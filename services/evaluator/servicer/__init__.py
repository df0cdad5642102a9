"""The RPCs of this service: wire in, use case, wire out; one file per noun."""

from dataclasses import dataclass

from drillyard.evaluator.v1.evaluator_service_pb2_grpc import EvaluatorServiceServicer

from services.evaluator.servicer.comparisons import ComparisonRpcs
from services.evaluator.servicer.evaluations import EvaluationRpcs
from services.evaluator.servicer.exports import ExportRpcs
from services.evaluator.servicer.judgements import JudgementRpcs
from services.evaluator.servicer.verdicts import VerdictRpcs
from services.evaluator.usecases.comparisons import ComparisonUseCases
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.evaluator.usecases.exports import ExportUseCases
from services.evaluator.usecases.judgements import JudgementUseCases
from services.evaluator.usecases.verdicts import VerdictUseCases

SERVICE_NAME = "drillyard.evaluator.v1.EvaluatorService"


@dataclass(frozen=True, kw_only=True)
class EvaluatorServicer(
    EvaluationRpcs, VerdictRpcs, JudgementRpcs, ComparisonRpcs, ExportRpcs, EvaluatorServiceServicer
):
    """Answers `EvaluatorService`; the contract documents each method."""

    evaluations: EvaluationUseCases
    verdicts: VerdictUseCases
    judgements: JudgementUseCases
    comparisons: ComparisonUseCases
    exports: ExportUseCases
