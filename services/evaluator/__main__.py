"""Starts the evaluator: `python -m services.evaluator`."""

from functools import partial

from drillyard.evaluator.v1 import evaluator_service_pb2_grpc as rpc

from services.chassis.application import Application, run
from services.chassis.settings import load_settings
from services.evaluator.clients.generation import GenerationClient
from services.evaluator.clients.registry import RegistryClient
from services.evaluator.clients.test_runner import TestRunnerClient
from services.evaluator.jobs.evaluation import EvaluationJob
from services.evaluator.servicer import SERVICE_NAME, EvaluatorServicer
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.store.sql import MIGRATIONS, SqlEvaluationStore, delete_evaluation
from services.evaluator.telemetry import EvaluatorTelemetry
from services.evaluator.usecases.comparisons import ComparisonUseCases
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.evaluator.usecases.exports import ExportUseCases
from services.evaluator.usecases.judgements import JudgementUseCases
from services.evaluator.usecases.verdicts import VerdictUseCases


async def wire(app: Application, settings: EvaluatorSettings) -> None:
    """Choose the adapters and connect them."""
    registry, test_runner = app.open_channel(settings.registry_address), app.open_channel(settings.test_runner_address)
    runs, store = TestRunnerClient(test_runner), SqlEvaluationStore(app.database)
    models = GenerationClient(test_runner, timeout_seconds=settings.grader_timeout_seconds)
    suites = RegistryClient(registry)
    job = EvaluationJob(
        store=store, runs=runs, suites=suites, models=models, telemetry=EvaluatorTelemetry(app.telemetry)
    )
    app.jobs.runner.register(job.kind, job, limit=settings.max_running)
    # Each run brings one along.
    app.usage.uncounted_kinds = frozenset({job.kind})
    evaluations = EvaluationUseCases(
        jobs=app.jobs.store,
        store=store,
        runs=runs,
        models=models,
        versions=suites,
        forget=partial(delete_evaluation, app.database),
    )
    comparisons = ComparisonUseCases(store=store, evaluations=evaluations, runs=runs)
    servicer = EvaluatorServicer(
        evaluations=evaluations,
        verdicts=VerdictUseCases(store=store, evaluations=evaluations),
        judgements=JudgementUseCases(),
        comparisons=comparisons,
        exports=ExportUseCases(store=store, evaluations=evaluations, comparisons=comparisons, runs=runs, suites=suites),
    )
    app.add_servicer(rpc.add_EvaluatorServiceServicer_to_server, servicer, SERVICE_NAME)


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(EvaluatorSettings)
    run("evaluator", settings, lambda application: wire(application, settings), migrations=MIGRATIONS)


if __name__ == "__main__":
    main()
