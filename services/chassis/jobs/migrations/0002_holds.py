"""Whether the holders of a job made progress, and the index of the list of jobs."""

from services.chassis.jobs.tables import add_holds

revision = "0002_holds"
down_revision = "0001_jobs"
upgrade = add_holds
