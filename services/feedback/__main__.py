"""The feedback service's process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from drillyard.feedback.v1 import feedback_service_pb2_grpc

from services.chassis.application import Application, run
from services.chassis.settings import load_settings
from services.feedback.clients.answers import GrpcCaseDocuments, GrpcJudge, GrpcTranscripts
from services.feedback.clients.deployments import GrpcDeployments
from services.feedback.clients.evaluator import GrpcEvaluator
from services.feedback.clients.exports import GrpcExports, GrpcPublications
from services.feedback.clients.forms import GrpcForms
from services.feedback.clients.registry import GrpcRegistry
from services.feedback.clients.rollouts import GrpcRollouts
from services.feedback.clients.test_runner import GrpcTestRunner
from services.feedback.clients.trainer import GrpcTrainer
from services.feedback.clients.verdicts import GrpcVerdicts
from services.feedback.domain.dataset_build import DATASET_BUILD_KIND
from services.feedback.domain.item_spec import FEEDBACK_IMPORT_KIND
from services.feedback.domain.loop import LOOP_KIND
from services.feedback.domain.schedules.scheduled_run import SCHEDULED_RUN_KIND, goal_notices
from services.feedback.domain.shipment import SHIPMENT_KIND
from services.feedback.jobs.items.dataset_build import DatasetBuildJob
from services.feedback.jobs.items.feedback_import import FeedbackImportJob
from services.feedback.jobs.loop import LoopJob
from services.feedback.jobs.schedule_clock import ScheduleClock
from services.feedback.jobs.scheduled_run import ScheduledRunJob
from services.feedback.jobs.shipping.deployments import DeploymentTests
from services.feedback.jobs.shipping.services import ShippingServices
from services.feedback.jobs.shipping.shipment import ShipmentJob
from services.feedback.jobs.steps import Services
from services.feedback.servicer import FULL_SERVICE_NAME, FeedbackServicer
from services.feedback.settings import FeedbackSettings
from services.feedback.store.chats import Retention, SqlChatStore
from services.feedback.store.item_lines import item_lines
from services.feedback.store.items import SqlItemStore
from services.feedback.store.jobs import (
    MIGRATIONS,
    JobBuildStore,
    JobImportStore,
    JobLoopStore,
    JobShipmentStore,
    SqlLoopAnswers,
)
from services.feedback.store.schedules import ScheduledRunJobs, SqlScheduledRunStore, SqlScheduleStore
from services.feedback.telemetry import FeedbackTelemetry
from services.feedback.usecases.chats import ChatUseCases
from services.feedback.usecases.dataset_builds import BuildUseCases
from services.feedback.usecases.items import ItemUseCases
from services.feedback.usecases.jobs import FeedbackUseCases
from services.feedback.usecases.plans import PlanUseCases
from services.feedback.usecases.schedules import ScheduleParts, ScheduleUseCases
from services.feedback.usecases.sessions import SessionSuiteUseCases
from services.feedback.usecases.subjects import Subjects


@dataclass(frozen=True)
class Neighbours:
    """The other four services, for each of the things that ask them."""

    loops: Services
    shipments: ShippingServices
    transcripts: GrpcTranscripts
    cases: GrpcCaseDocuments
    judge: GrpcJudge
    registry: GrpcRegistry
    rollouts: GrpcRollouts
    deployments: GrpcDeployments


def open_neighbours(application: Application, settings: FeedbackSettings) -> Neighbours:
    """Connect to the other four services; none needs to be there yet."""
    addresses = (
        settings.registry_address,
        settings.test_runner_address,
        settings.evaluator_address,
        settings.trainer_address,
    )
    registry, test_runner, evaluator, trainer = map(application.open_channel, addresses)
    services = Services(
        registry=GrpcRegistry(registry),
        test_runner=GrpcTestRunner(test_runner),
        evaluator=GrpcEvaluator(evaluator),
        trainer=GrpcTrainer(trainer),
        exports=GrpcExports(registry),
    )
    shipping = ShippingServices(
        registry=services.registry,
        test_runner=services.test_runner,
        evaluator=services.evaluator,
        trainer=services.trainer,
        exports=services.exports,
        publications=GrpcPublications(registry),
        forms=GrpcForms(test_runner),
        verdicts=GrpcVerdicts(evaluator),
    )
    return Neighbours(
        services,
        shipping,
        GrpcTranscripts(test_runner),
        GrpcCaseDocuments(registry),
        GrpcJudge(evaluator),
        GrpcRegistry(registry),
        GrpcRollouts(evaluator, test_runner),
        GrpcDeployments(registry),
    )


def wire_schedules(
    application: Application,
    settings: FeedbackSettings,
    services: Services,
    loops: JobLoopStore,
    usecases: FeedbackUseCases,
) -> ScheduleUseCases:
    """Keep the due times of schedules, and do their runs."""
    schedules, runs = SqlScheduleStore(application.database), SqlScheduledRunStore(application.database)
    jobs = ScheduledRunJobs(application.jobs.store)
    job = ScheduledRunJob(services, schedules=schedules, runs=runs, loops=loops, starter=usecases)
    application.jobs.runner.register(
        SCHEDULED_RUN_KIND, job.run, limit=settings.max_running_scheduled_runs, cleanup=job.clean_up
    )
    application.notices[SCHEDULED_RUN_KIND] = goal_notices
    application.keep_doing("keep_due_times", ScheduleClock(schedules, runs, jobs, loops).keep_time)
    parts = ScheduleParts(schedules, runs, jobs, loops, services.registry)
    return ScheduleUseCases(parts, usecases)


def wire_shipping(application: Application, settings: FeedbackSettings, neighbours: Neighbours) -> None:
    """Do shipments, and have asked what deployments must pass."""
    job = ShipmentJob(neighbours.shipments)
    application.jobs.runner.register(SHIPMENT_KIND, job.run, limit=settings.max_running_shipments, cleanup=job.clean_up)
    tests = DeploymentTests(neighbours.shipments, neighbours.deployments)
    application.keep_doing("test_deployments", tests.run)


async def wire(application: Application, settings: FeedbackSettings) -> None:
    """Choose the adapters and connect them."""
    neighbours, runner, jobs = open_neighbours(application, settings), application.jobs.runner, application.jobs.store
    loops = JobLoopStore(jobs, SqlLoopAnswers(application.database))
    shipments, builds, imports = JobShipmentStore(jobs), JobBuildStore(jobs), JobImportStore(jobs)
    items = SqlItemStore(application.database)
    chats = SqlChatStore(application.database, Retention(settings.session_days, settings.session_megabytes))
    wire_shipping(application, settings, neighbours)
    measures = FeedbackTelemetry(application.telemetry)
    loop_job = LoopJob(neighbours.loops, loops, application.artifacts, measures=measures)
    runner.register(LOOP_KIND, loop_job.run, limit=settings.max_running_loops, cleanup=loop_job.clean_up)
    build_job = DatasetBuildJob(items, neighbours.registry, application.artifacts, neighbours.rollouts)
    runner.register(DATASET_BUILD_KIND, build_job.run, limit=settings.max_running_builds)
    application.garbage.add(partial(application.artifact_garbage.handed_over, "dataset", settings.handover_hours))
    subjects = Subjects(chats, neighbours.transcripts, neighbours.cases, neighbours.judge)
    usecases = FeedbackUseCases(loops, neighbours.registry, shipments)
    schedules = wire_schedules(application, settings, neighbours.loops, loops, usecases)
    application.telemetry.on_scrape(partial(measures.count_schedules, SqlScheduleStore(application.database)))
    item_usecases = ItemUseCases(items, subjects, partial(item_lines, application.artifacts), imports)
    import_job = FeedbackImportJob(items, item_usecases, application.artifacts)
    runner.register(FEEDBACK_IMPORT_KIND, import_job.run, limit=settings.max_running_builds)
    servicer = FeedbackServicer(
        usecases=usecases,
        plans=PlanUseCases(usecases, loops, neighbours.loops.test_runner),
        loops=loops,
        shipments=shipments,
        items=item_usecases,
        imports=imports,
        chats=ChatUseCases(chats),
        build_usecases=BuildUseCases(builds, neighbours.registry, neighbours.rollouts),
        builds=builds,
        schedules=schedules,
        session_suites=SessionSuiteUseCases(chats, item_usecases, application.artifacts, neighbours.registry),
    )
    application.add_servicer(
        feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server, servicer, FULL_SERVICE_NAME
    )


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(FeedbackSettings)
    run("feedback", settings, lambda application: wire(application, settings), migrations=MIGRATIONS)


if __name__ == "__main__":
    main()
