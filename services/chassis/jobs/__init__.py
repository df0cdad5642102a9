"""Durable jobs: rows with state, lease and epoch, an append-only history, and the runner that does the work."""

from services.chassis.jobs.attempt import Function
from services.chassis.jobs.context import JobContext, JobPaused
from services.chassis.jobs.job import Job, JobError, JobEvent, JobState, Json
from services.chassis.jobs.resource import JobResource, each
from services.chassis.jobs.runner import JobRunner
from services.chassis.jobs.sql_store import SqlJobStore, append_events, fence
from services.chassis.jobs.store import JobStore
from services.chassis.jobs.tables import (
    add_holds,
    add_worked_seconds,
    add_workspaces,
    create_job_tables,
    live_epochs,
)
from services.chassis.jobs.watch import watch

__all__ = [
    "Function",
    "Job",
    "JobContext",
    "JobError",
    "JobEvent",
    "JobPaused",
    "JobResource",
    "JobRunner",
    "JobState",
    "JobStore",
    "Json",
    "SqlJobStore",
    "add_holds",
    "add_worked_seconds",
    "add_workspaces",
    "append_events",
    "create_job_tables",
    "each",
    "fence",
    "live_epochs",
    "watch",
]
