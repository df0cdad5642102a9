"""For how long the holders of a job worked on it."""

from services.chassis.jobs import add_worked_seconds

revision = "0003_worked_seconds"
down_revision = "0002_holds"
upgrade = add_worked_seconds
