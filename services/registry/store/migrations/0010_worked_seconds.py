"""For how long the holders of a job worked on it."""

from services.chassis.jobs import add_worked_seconds

revision = "0010_worked_seconds"
down_revision = "0009_dataset_origin"
upgrade = add_worked_seconds
