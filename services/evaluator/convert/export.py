"""Exports, from the wire."""

from drillyard.evaluator.v1 import export_pb2

from services.chassis.errors import InvalidArgument
from services.evaluator.domain.export import ExportFact, ExportFormat

_FORMATS = {
    export_pb2.EXPORT_FORMAT_JSON: ExportFormat.JSON,
    export_pb2.EXPORT_FORMAT_CSV: ExportFormat.CSV,
    export_pb2.EXPORT_FORMAT_INSPECT: ExportFormat.INSPECT,
    export_pb2.EXPORT_FORMAT_HTML: ExportFormat.HTML,
    export_pb2.EXPORT_FORMAT_PAIRS: ExportFormat.PAIRS,
}


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
