"""Domain terms from and to the wire, where more than equal names joins them."""

from drillyard.evaluator.v1 import comparison_pb2 as comparison_pb
from drillyard.evaluator.v1 import evaluation_pb2, export_pb2, verdict_pb2
from drillyard.evaluator.v1 import metrics_pb2 as metrics_pb

from services.chassis.errors import InvalidArgument
from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, to_message
from services.evaluator.clients.transcript import message_from_proto
from services.evaluator.domain.comparison import Comparison
from services.evaluator.domain.evaluation import ExportFact, ExportFormat, ModelGrader
from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.parity import Parity
from services.evaluator.domain.verdict import Layer, Verdict
from services.evaluator.usecases.evaluations import Evaluation
from services.evaluator.usecases.judgements import AnswerToJudge, JudgedAnswer

_FORMATS = {
    export_pb2.EXPORT_FORMAT_JSON: ExportFormat.JSON,
    export_pb2.EXPORT_FORMAT_CSV: ExportFormat.CSV,
    export_pb2.EXPORT_FORMAT_INSPECT: ExportFormat.INSPECT,
    export_pb2.EXPORT_FORMAT_HTML: ExportFormat.HTML,
    export_pb2.EXPORT_FORMAT_PAIRS: ExportFormat.PAIRS,
}


def evaluation_to_proto(evaluation: Evaluation) -> evaluation_pb2.Evaluation:
    """Return the evaluation with its state and the metrics so far."""
    record = evaluation.record
    return evaluation_pb2.Evaluation(
        evaluation_id=record.evaluation_id,
        test_run_id=record.subject.test_run_id,
        test_suite_version_id=record.subject.test_suite_version_id,
        model_version_id=record.subject.model_version_id,
        profile_id=record.subject.profile_id,
        profile_digest=record.judge_digest,
        metrics=metrics_to_proto(evaluation.metrics),
        job=job_to_proto(evaluation.job),
        model_grader=to_message(record.grader, evaluation_pb2.ModelGrader) if record.grader else None,
        is_incomplete=evaluation.is_incomplete,
    )


def grader_from_proto(request: evaluation_pb2.CreateEvaluationRequest) -> ModelGrader | None:
    """Return the grader that a request asks for, if it asks for one."""
    return from_message(ModelGrader, request.model_grader) if request.HasField("model_grader") else None


def metrics_to_proto(metrics: Metrics) -> metrics_pb.Metrics:
    """Return the metrics; what the domain holds by name is a list on the wire."""
    return to_message(
        metrics,
        metrics_pb.Metrics,
        by_tool=[
            metrics_pb.ToolRates(tool=tool, rates=to_message(rates, metrics_pb.Rates))
            for tool, rates in metrics.by_tool.items()
        ],
        by_cause=[metrics_pb.CauseCount(cause=cause, num_cases=count) for cause, count in metrics.by_cause.items()],
        by_category=[
            metrics_pb.CategoryRates(category=category, rates=to_message(rates, metrics_pb.Rates))
            for category, rates in metrics.by_category.items()
        ],
        by_layer=[to_message(rate, metrics_pb.LayerRate, layer=layer) for layer, rate in metrics.by_layer.items()],
        recovery_rate=metrics.recovery.rate,
        num_recovery_cases=metrics.recovery.num_cases,
        recovery_interval=to_message(metrics.recovery.interval, metrics_pb.Interval),
    )


def verdict_to_proto(verdict: Verdict) -> verdict_pb2.Verdict:
    """Return the verdict."""
    return verdict_pb2.Verdict(
        transcript_id=verdict.transcript_id,
        case_id=verdict.case_id,
        repeat=verdict.repeat,
        tool=verdict.tool,
        category=verdict.category,
        conforming=verdict.conforming,
        accepted=verdict.accepted,
        well_formed=verdict.well_formed,
        cause=verdict.cause,
        fault=verdict.fault,
        is_sole=verdict.is_sole,
        sentence=verdict.sentence,
        layers=map(_layer, verdict.layers),
        num_turns=verdict.num_turns,
        had_client_error=verdict.had_client_error,
        scores=verdict.scores,
        style_notes=verdict.style_notes,
        sequence=verdict.sequence,
    )


def answer_from_proto(request: verdict_pb2.JudgeRequest) -> AnswerToJudge:
    """Return the answer to judge."""
    return AnswerToJudge(
        profile_id=request.profile_id,
        case_document=request.case_document,
        answer=request.answer,
        finish_reason=request.finish_reason,
        further_answers=tuple(request.further_answers),
        key=request.key,
        messages=tuple(map(message_from_proto, request.messages)),
        tools=tuple(request.tools),
    )


def judged_to_proto(judged: JudgedAnswer) -> verdict_pb2.JudgedAnswer:
    """Return the result."""
    verdict = verdict_to_proto(judged.verdict) if judged.verdict else None
    return verdict_pb2.JudgedAnswer(key=judged.key, verdict=verdict, problem=judged.problem)


def _layer(layer: Layer) -> verdict_pb2.Layer:
    start, end = layer.span or (0, 0)
    return verdict_pb2.Layer(
        name=layer.name,
        status=verdict_pb2.LayerStatus.Value(f"LAYER_STATUS_{layer.status.name}"),
        detail=layer.detail,
        span_start=start,
        span_end=end,
        score=layer.score,
        turn=layer.turn,
    )


def comparison_to_proto(comparison: Comparison) -> comparison_pb.Comparison:
    """Return the comparison."""
    return to_message(
        comparison,
        comparison_pb.Comparison,
        by_tool=[to_message(change, comparison_pb.ToolChange, tool=change.name) for change in comparison.by_tool],
        by_cause=[
            comparison_pb.CauseChange(
                cause=change.cause, num_cases_before=change.num_before, num_cases_after=change.num_after
            )
            for change in comparison.by_cause
        ],
        by_category=[
            to_message(change, comparison_pb.CategoryChange, category=change.name) for change in comparison.by_category
        ],
        gained_case_ids=[change.case_id for change in comparison.gains],
        lost_case_ids=[change.case_id for change in comparison.losses],
    )


def parity_to_proto(parity: Parity) -> comparison_pb.Parity:
    """Return the parity."""
    differences = [
        to_message(
            difference.answer,
            comparison_pb.ParityDifference,
            cause_before=difference.cause_before,
            cause_after=difference.cause_after,
        )
        for difference in parity.differences
    ]
    return to_message(parity, comparison_pb.Parity, differences=differences, guilty_step=parity.guilty_step.value)


def format_from_proto(request: export_pb2.ExportEvaluationRequest) -> ExportFormat:
    """Return the form of an export.

    Raises:
        InvalidArgument: It is not one.
    """
    export_format = _FORMATS.get(request.format)
    if export_format is None:
        raise InvalidArgument(
            "The export has no format.", "Use one of: JSON, CSV, INSPECT, HTML, PAIRS.", field="format"
        )
    return export_format


def facts_from_proto(request: export_pb2.ExportEvaluationRequest) -> tuple[ExportFact, ...]:
    """Return the further facts of a page."""
    return tuple(ExportFact(fact.group, fact.name, fact.value) for fact in request.facts)
