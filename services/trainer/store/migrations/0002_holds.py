"""Whether the holders of a job made progress, and the index of the list of jobs."""

from services.chassis.jobs import add_holds

revision = "0002_holds"
down_revision = "0001_training"
upgrade = add_holds
