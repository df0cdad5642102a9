"""Whose jobs and schedules are, and the tokens of workspaces."""

import sqlalchemy as sa
from alembic import op

from services.chassis.jobs import add_workspaces, drop_workspaces

revision = "0008_workspaces"
down_revision = "0007_worked_seconds"
_TABLES = ("schedules", "scheduled_runs")


def upgrade() -> None:
    """Add them; schedules of before belong to the default workspace."""
    add_workspaces(op)
    for table in _TABLES:
        op.add_column(table, sa.Column("workspace_id", sa.String, nullable=False, server_default="default"))


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.drop_column(table, "workspace_id")
    drop_workspaces(op)
