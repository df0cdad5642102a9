"""The RPC of exports."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from drillyard.evaluator.v1 import export_pb2

from services.chassis.calls import Context
from services.evaluator.convert.export import facts_from_proto, format_from_proto
from services.evaluator.usecases.exports import ExportUseCases


class ExportRpcs:
    """Export."""

    exports: ExportUseCases

    async def ExportEvaluation(
        self, request: export_pb2.ExportEvaluationRequest, context: Context
    ) -> AsyncIterator[export_pb2.ExportEvaluationResponse]:
        """Stream an evaluation as a file."""
        file = await self.exports.export(
            request.evaluation_id,
            format_from_proto(request),
            before_evaluation_id=request.before_evaluation_id,
            facts=facts_from_proto(request),
        )
        yield export_pb2.ExportEvaluationResponse(file_name=file.name, media_type=file.media_type)
        async with aclosing(file.chunks) as chunks:
            async for chunk in chunks:
                yield export_pb2.ExportEvaluationResponse(chunk=chunk)
