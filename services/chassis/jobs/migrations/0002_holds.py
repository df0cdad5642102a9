"""Whether the holders of a job made progress, and the index of the list of jobs."""

from alembic import op

from services.chassis.jobs.tables import add_holds, drop_holds

revision = "0002_holds"
down_revision = "0001_jobs"


def upgrade() -> None:
    """Add the columns and the index."""
    add_holds(op)


def downgrade() -> None:
    """Drop them."""
    drop_holds(op)
