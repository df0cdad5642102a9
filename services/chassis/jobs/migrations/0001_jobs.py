"""The job tables alone, for a service that keeps nothing else."""

from services.chassis.jobs.tables import create_job_tables

revision = "0001_jobs"
down_revision = None
upgrade = create_job_tables
