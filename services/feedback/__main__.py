"""The feedback service's process."""

from __future__ import annotations

from functools import partial

from drillyard.feedback.v1 import feedback_service_pb2_grpc

from services.chassis.application import Application, run
from services.chassis.channel import open_channel
from services.chassis.settings import load_settings
from services.feedback.clients.evaluator import GrpcEvaluator
from services.feedback.clients.exports import GrpcExports, GrpcPublications
from services.feedback.clients.forms import GrpcForms
from services.feedback.clients.registry import GrpcRegistry
from services.feedback.clients.test_runner import GrpcTestRunner
from services.feedback.clients.trainer import GrpcTrainer
from services.feedback.clients.verdicts import GrpcVerdicts
from services.feedback.domain.loop import LOOP_KIND
from services.feedback.domain.shipment import SHIPMENT_KIND
from services.feedback.jobs.gate import ShippingServices
from services.feedback.jobs.loop import LoopJob
from services.feedback.jobs.shipment import ShipmentJob
from services.feedback.jobs.steps import Services
from services.feedback.servicer import FULL_SERVICE_NAME, FeedbackServicer
from services.feedback.settings import FeedbackSettings
from services.feedback.store.jobs import MIGRATIONS, JobLoopStore
from services.feedback.store.shipments import JobShipmentStore
from services.feedback.telemetry import FeedbackTelemetry
from services.feedback.usecases import FeedbackUseCases


def open_services(application: Application, settings: FeedbackSettings) -> tuple[Services, ShippingServices]:
    """Connect to the other four services, for loops and for shipments; none needs to be there yet."""
    addresses = (
        settings.registry_address,
        settings.test_runner_address,
        settings.evaluator_address,
        settings.trainer_address,
    )
    channels = [open_channel(address, token=application.token) for address in addresses]
    for channel in channels:
        application.on_stop(channel.close)
    registry, test_runner, evaluator, trainer = channels
    services = Services(
        registry=GrpcRegistry(registry),
        test_runner=GrpcTestRunner(test_runner),
        evaluator=GrpcEvaluator(evaluator),
        trainer=GrpcTrainer(trainer),
        exports=GrpcExports(registry),
    )
    return services, ShippingServices(
        registry=services.registry,
        test_runner=services.test_runner,
        evaluator=services.evaluator,
        trainer=services.trainer,
        exports=services.exports,
        publications=GrpcPublications(registry),
        forms=GrpcForms(test_runner),
        verdicts=GrpcVerdicts(evaluator),
    )


async def wire(application: Application, settings: FeedbackSettings) -> None:
    """Choose the adapters and connect them."""
    services, shipping = open_services(application, settings)
    store, shipments = JobLoopStore(application.jobs.store), JobShipmentStore(application.jobs.store)
    shipment_job = ShipmentJob(shipping)
    application.jobs.runner.register(
        SHIPMENT_KIND, shipment_job.run, limit=settings.max_running_shipments, cleanup=shipment_job.clean_up
    )
    loop_job = LoopJob(services, store, application.artifacts, measures=FeedbackTelemetry(application.telemetry))
    application.jobs.runner.register(
        LOOP_KIND, loop_job.run, limit=settings.max_running_loops, cleanup=loop_job.clean_up
    )
    application.garbage.add(partial(application.artifact_garbage.handed_over, "dataset", settings.handover_hours))
    servicer = FeedbackServicer(FeedbackUseCases(store, services.registry, shipments), store, shipments)
    application.add_servicer(
        feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server, servicer, FULL_SERVICE_NAME
    )


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(FeedbackSettings)
    run("feedback", settings, lambda application: wire(application, settings), migrations=MIGRATIONS)


if __name__ == "__main__":
    main()
