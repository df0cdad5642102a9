"""Whose jobs and schedules are, and the tokens of workspaces."""

import sqlalchemy as sa
from alembic import op

from services.chassis.jobs import add_workspaces

revision = "0008_workspaces"
down_revision = "0007_worked_seconds"
_TABLES = ("schedules", "scheduled_runs")


def upgrade() -> None:
    """Add them; schedules of before belong to the default workspace."""
    add_workspaces()
    for table in _TABLES:
        op.add_column(table, sa.Column("workspace_id", sa.String, nullable=False, server_default="default"))
