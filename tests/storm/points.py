"""The places in the product's code at which a storm can end a process to the microsecond.

A point is a function, and the moment before it begins or after it has returned. The product knows nothing of them: the
plug-in wraps the functions in processes whose environment names one in `FAULT=point:action:nth`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A moment in a process.

    Attributes:
        module: The module that defines the function.
        function: Its dotted name in the module.
        is_after: Whether the moment is that of the function's return; a return of None does not count.
        services: The services in which it is reached; empty for all.
    """

    module: str
    function: str
    is_after: bool
    services: tuple[str, ...] = ()


_CHASSIS, _TRAINER, _FEEDBACK = "services.chassis", "services.trainer", "services.feedback"
_PUBLISHER = "services.registry.jobs.publishers.folder"
_ARTIFACTS = f"{_CHASSIS}.artifacts.store"
_FOLDER = f"{_CHASSIS}.artifacts.local_folder"

POINTS: dict[str, Point] = {
    "job_inserted": Point(f"{_CHASSIS}.jobs.sql_store", "_SqlLedger.insert", True),
    "job_committed": Point(f"{_CHASSIS}.jobs.requests", "JobRequests.create", True),
    "job_claimed": Point(f"{_CHASSIS}.jobs.store", "JobStore.claim", True),
    "job_ending": Point(f"{_CHASSIS}.jobs.store", "JobStore.finish", False),
    "job_ended": Point(f"{_CHASSIS}.jobs.store", "JobStore.finish", True),
    "artifact_adopted": Point(_ARTIFACTS, "ArtifactStore.adopt", True, ("registry",)),
    "artifact_stored": Point(_ARTIFACTS, "ArtifactStore.put_tree", True, ("registry", "trainer")),
    "artifact_staged": Point(_FOLDER, "LocalFolder.keep", False, ("registry", "trainer", "feedback")),
    "artifact_renamed": Point(_FOLDER, "LocalFolder.keep", True, ("registry", "trainer", "feedback")),
    "version_inserted": Point("services.registry.store.versions", "SqlVersionStore._add", True, ("registry",)),
    "window_due": Point("services.test_runner.store.sql", "SqlRunStore.append_window", False, ("test_runner",)),
    "window_committed": Point("services.test_runner.store.sql", "SqlRunStore.append_window", True, ("test_runner",)),
    "verdicts_due": Point("services.evaluator.store.sql", "SqlEvaluationStore.append_verdicts", False, ("evaluator",)),
    "verdicts_committed": Point(
        "services.evaluator.store.sql", "SqlEvaluationStore.append_verdicts", True, ("evaluator",)
    ),
    "process_started": Point("asyncio.subprocess", "create_subprocess_exec", True, ("test_runner", "trainer")),
    "attempt_committed": Point(f"{_TRAINER}.store.sql", "SqlTrainingStore.begin_attempt", True, ("trainer",)),
    "report_committed": Point(f"{_TRAINER}.store.sql", "SqlTrainingStore.add_report", True, ("trainer",)),
    "checkpoint_file": Point("tests.storm.compute.checkpoint", "write_file", True, ("driver",)),
    "checkpoint_unlisted": Point(f"{_TRAINER}.manifest", "write_manifest", False, ("driver",)),
    "checkpoint_listed": Point(f"{_TRAINER}.manifest", "write_manifest", True, ("driver",)),
    "round_committed": Point("services.feedback.jobs.record", "LoopRecord.update", True, ("feedback",)),
    "dataset_built": Point("services.feedback.datasets.builder", "build", True, ("feedback",)),
    "items_due": Point(f"{_FEEDBACK}.store.items", "SqlItemStore.add_all", False, ("feedback",)),
    "items_committed": Point(f"{_FEEDBACK}.store.items", "SqlItemStore.add_all", True, ("feedback",)),
    "due_time_committed": Point(f"{_FEEDBACK}.store.schedules", "SqlScheduledRunStore.add", True, ("feedback",)),
    "shipment_due": Point(f"{_FEEDBACK}.jobs.shipping.record", "ShipmentRecord.update", False, ("feedback",)),
    "items_used": Point(f"{_FEEDBACK}.store.items", "SqlItemStore.mark_used", False, ("feedback",)),
    "publication_copied": Point(_PUBLISHER, "_appear", False, ("registry",)),
    "publication_renamed": Point(_PUBLISHER, "_appear", True, ("registry",)),
    "notice_sent": Point("services.chassis.machine.webhooks.delivery", "DeliveryJob._try", True),
    "rows_read": Point("services.registry.importers.rows.conversion", "RowFiles.read", True, ("registry",)),
}


def points_of(service: str) -> list[str]:
    """Return the points that a service reaches, in its own process or in a driver that it starts."""
    names = {service, "driver"} if service == "trainer" else {service}
    return [name for name, point in POINTS.items() if not point.services or names & set(point.services)]
