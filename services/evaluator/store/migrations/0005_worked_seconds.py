"""For how long the holders of a job worked on it."""

from alembic import op

from services.chassis.jobs import add_worked_seconds, drop_worked_seconds

revision = "0005_worked_seconds"
down_revision = "0004_holds"


def upgrade() -> None:
    """Add the column."""
    add_worked_seconds(op)


def downgrade() -> None:
    """Drop it."""
    drop_worked_seconds(op)
