"""Judges the rows of jobs and their histories."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobState
from services.chassis.jobs.job import ATTEMPT_EVENT, STATE_EVENT, TRANSITIONS
from services.chassis.machine.webhooks.subscriptions import DELIVERY_KIND
from services.test_runner.domain.test_run import SHARE_KIND
from tests.storm.databases import Databases, Row
from tests.storm.ledger import CANCEL_SENT, CANCELLED, Ledger
from tests.storm.oracle.judgement import Judgement
from tests.storm.stack import SERVICES


def unfinished(databases: Databases) -> dict[str, int]:
    """Return the jobs and due times that have not ended or were not told of, each with the number of its last event."""
    final = ", ".join(f"'{state}'" for state in JobState if state.is_final)
    query = f"""
        SELECT job_id, last_sequence FROM jobs WHERE state NOT IN ({final})
        OR kind NOT IN ('{DELIVERY_KIND}', '{SHARE_KIND}') AND NOT EXISTS (
            SELECT 1 FROM jobs AS told
            WHERE told.kind = '{DELIVERY_KIND}' AND told.request_id LIKE '%/' || jobs.job_id || '/job.%'
        )
    """
    jobs = {row["job_id"]: row["last_sequence"] for service in SERVICES for row in databases.read(service, query)}
    runs = databases.read("feedback", "SELECT scheduled_run_id FROM scheduled_runs WHERE outcome IS NULL")
    return {row["scheduled_run_id"]: 0 for row in runs} | jobs


def judge_jobs(ledger: Ledger, databases: Databases, judgement: Judgement) -> None:
    """Look for lost and doubled jobs, and for histories that no job can have."""
    acknowledged = ledger.jobs()
    known: set[str] = set()
    runs = databases.read("test_runner", "SELECT job_id FROM jobs WHERE state = 'CANCELLED'")
    cancelled_runs = {row["job_id"] for row in runs}
    for service in SERVICES:
        events: dict[str, list[Row]] = {}
        for event in databases.read(service, "SELECT * FROM job_events ORDER BY job_id, sequence"):
            events.setdefault(event["job_id"], []).append(event)
        for job in databases.read(service, "SELECT * FROM jobs"):
            known.add(job["job_id"])
            judgement.looked_at["jobs"] += 1
            judgement.looked_at["events"] += len(events.get(job["job_id"], ()))
            _judge_state(service, job, ledger, judgement, cancelled_runs)
            _judge_history(f"{service} {job['job_id']}", job, events.get(job["job_id"], []), judgement)
            is_ours = job["request_id"].startswith(("storm/", "calm/"))
            if is_ours and job["job_id"] not in acknowledged:
                judgement.doubled.append(f"{service}: the request {job['request_id']} made one more job")
    for job_id in acknowledged.keys() - known:
        entry = acknowledged[job_id]
        judgement.lost.append(f"{entry.service}: {entry.request_id} was acknowledged as {job_id}, which is not there")


def _judge_state(service: str, job: Row, ledger: Ledger, judgement: Judgement, cancelled_runs: Collection[str]) -> None:
    state, job_id = JobState(job["state"]), job["job_id"]
    if job_id in ledger.jobs():
        judgement.looked_at["acknowledged jobs"] += 1
    if not state.is_final:
        judgement.lost.append(f"{service} {job_id} ({job['kind']}) is still {state}")
    elif state is JobState.FAILED and not _has_no_run(job, cancelled_runs):
        judgement.lost.append(f"{service} {job_id} ({job['kind']}) FAILED: {job['error']}")
    elif job_id in ledger.ids(CANCELLED) and state is not JobState.CANCELLED:
        judgement.wrong.append(f"{service} {job_id} was cancelled and is {state}")
    is_of_a_loop = "/" in job["request_id"] and not job["request_id"].startswith(("storm/", "calm/"))
    if state is JobState.CANCELLED and job_id not in ledger.ids(CANCEL_SENT) and not is_of_a_loop:
        judgement.wrong.append(f"{service} {job_id} is CANCELLED, and nobody cancelled it")


def _has_no_run(job: Row, cancelled_runs: Collection[str]) -> bool:
    """Whether it is an evaluation that was refused, as it should be, since its run was cancelled before it began."""
    is_refused = (job["error"] or {}).get("code") == FailedPrecondition.code
    return is_refused and job["kind"] == "evaluation" and job["spec"]["test_run_id"] in cancelled_runs


def _judge_history(name: str, job: Row, events: list[Row], judgement: Judgement) -> None:
    sequences = [event["sequence"] for event in events]
    if sequences != list(range(1, job["last_sequence"] + 1)):
        judgement.wrong.append(f"{name} has events {sequences[:5]}… up to {job['last_sequence']}, with gaps or twice")
    states = [JobState(event["payload"]["state"]) for event in events if event["type"] == STATE_EVENT]
    if not states or states[0] is not JobState.QUEUED or states[-1] != job["state"]:
        judgement.wrong.append(f"{name} is {job['state']}, its history {list(map(str, states))}")
    for before, after in pairwise(states):
        if after not in TRANSITIONS[before]:
            judgement.wrong.append(f"{name} went from {before} to {after}")
    if states and states[-1].is_final and events[-1]["type"] != STATE_EVENT:
        judgement.wrong.append(f"{name} has a {events[-1]['type']} event after its end")
    claims = [event for event in events if event["type"] in (STATE_EVENT, ATTEMPT_EVENT)]
    epochs = [event["payload"]["epoch"] for event in claims if "epoch" in event["payload"]]
    if epochs != list(range(1, job["epoch"] + 1)):
        judgement.wrong.append(f"{name} is in epoch {job['epoch']}, its history has the epochs {epochs}")
    judgement.looked_at["claims"] += len(epochs)
