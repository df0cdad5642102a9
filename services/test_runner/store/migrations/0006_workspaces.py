"""Whose the jobs are, and the tokens of workspaces."""

from alembic import op

from services.chassis.jobs import add_workspaces, drop_workspaces

revision = "0006_workspaces"
down_revision = "0005_worked_seconds"


def upgrade() -> None:
    """Add them."""
    add_workspaces(op)


def downgrade() -> None:
    """Drop them."""
    drop_workspaces(op)
