"""The RPCs of this service: wire in, use case, wire out."""

from dataclasses import dataclass

from drillyard.test_runner.v1.test_runner_service_pb2_grpc import TestRunnerServiceServicer

from services.test_runner.servicer.diagnosis import DiagnosisRpcs
from services.test_runner.servicer.generation import GenerationRpcs
from services.test_runner.servicer.scoring import ScoringRpcs
from services.test_runner.servicer.test_run import TestRunRpcs
from services.test_runner.servicer.transcript import TranscriptRpcs
from services.test_runner.usecases.comparison import ComparisonUseCases
from services.test_runner.usecases.diagnosis import DiagnosisUseCases
from services.test_runner.usecases.generation import GenerationUseCases
from services.test_runner.usecases.rendering import RenderingUseCases
from services.test_runner.usecases.scoring import ScoringUseCases
from services.test_runner.usecases.test_run import TestRunUseCases
from services.test_runner.usecases.transcript import TranscriptUseCases

SERVICE_NAME = "drillyard.test_runner.v1.TestRunnerService"


@dataclass(frozen=True)
class TestRunnerServicer(
    TestRunRpcs, TranscriptRpcs, GenerationRpcs, ScoringRpcs, DiagnosisRpcs, TestRunnerServiceServicer
):
    """All RPCs of the service; the contract documents each."""

    runs: TestRunUseCases
    transcripts: TranscriptUseCases
    comparisons: ComparisonUseCases
    generation: GenerationUseCases
    rendering: RenderingUseCases
    scoring: ScoringUseCases
    diagnoses: DiagnosisUseCases
