"""Whether the holders of a job made progress, and the index of the list of jobs."""

from services.chassis.jobs import add_holds

revision = "0004_holds"
down_revision = "0003_artifact_claims"
upgrade = add_holds
