"""The tables of durable jobs, which hold the loops."""

from services.chassis.jobs import create_job_tables

revision = "0001_jobs"
down_revision = None
upgrade = create_job_tables
