"""Whose the jobs are, and the tokens of workspaces."""

from services.chassis.jobs.tables import add_workspaces

revision = "0004_workspaces"
down_revision = "0003_worked_seconds"
upgrade = add_workspaces
