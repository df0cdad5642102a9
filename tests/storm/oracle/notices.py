"""Judges what a webhook was told: the end of each job, by a delivery of its own, at least once and signed."""

from __future__ import annotations

from collections.abc import Callable

from services.chassis.jobs import JobState
from services.chassis.machine.webhooks.subscriptions import DELIVERY_KIND
from services.test_runner.domain.test_run import SHARE_KIND
from tests.storm.databases import Databases
from tests.storm.oracle.judgement import Judgement
from tests.storm.stack import SERVICES
from tests.unit.chassis.machine.webhook_receiver import Receiver

_REFUSED_ENDS = "01"


def refuses_some_at_first() -> Callable[[str], bool]:
    """Return a rule for a receiver: one message of eight is taken at its second try."""
    refused: set[str] = set()

    def is_taken(message_id: str) -> bool:
        is_first = message_id not in refused
        refused.add(message_id)
        return not (is_first and message_id.endswith(tuple(_REFUSED_ENDS)))

    return is_taken


def judge_notices(receiver: Receiver, databases: Databases, judgement: Judgement) -> None:
    """Look for ends that nobody was told of, and for messages that no delivery is of."""
    receiver.told()
    taken = {headers["webhook-id"].removeprefix("msg_") for headers, _ in receiver.taken}
    judgement.looked_at["webhook messages"] += len(receiver.taken)
    deliveries: dict[str, str] = {}
    for service in SERVICES:
        jobs = databases.read(service, "SELECT job_id, kind, state, request_id FROM jobs")
        own = {job["job_id"]: job["request_id"] for job in jobs if job["kind"] == DELIVERY_KIND}
        deliveries |= own
        told = {"/".join(request_id.split("/")[1:]) for request_id in own.values()}
        for job in jobs:
            # Nobody is told of the parts of a run.
            is_other = job["kind"] not in (DELIVERY_KIND, SHARE_KIND) and JobState(job["state"]).is_final
            if is_other and f"{job['job_id']}/job.{job['state'].lower()}" not in told:
                judgement.lost.append(f"{service}: nobody was told of {job['job_id']}, which is {job['state']}")
    judgement.lost += [f"the delivery {deliveries[job_id]} came nowhere" for job_id in deliveries.keys() - taken]
    judgement.wrong += [f"a message is of no delivery: {job_id}" for job_id in taken - deliveries.keys()]
