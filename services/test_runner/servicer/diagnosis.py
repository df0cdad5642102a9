"""RPCs of diagnoses."""

from drillyard.test_runner.v1 import diagnosis_pb2

from services.chassis.calls import Context
from services.test_runner.convert.diagnosis import diagnosis_spec_from_proto, diagnosis_to_proto
from services.test_runner.usecases.diagnosis import DiagnosisUseCases


class DiagnosisRpcs:
    """Diagnose."""

    diagnoses: DiagnosisUseCases

    async def DiagnoseModel(
        self, request: diagnosis_pb2.DiagnoseModelRequest, context: Context
    ) -> diagnosis_pb2.DiagnoseModelResponse:
        """Check a model's template and settings against a profile."""
        return diagnosis_to_proto(await self.diagnoses.diagnose(diagnosis_spec_from_proto(request)))
