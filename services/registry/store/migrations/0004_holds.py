"""Whether the holders of a job made progress, and the index of the list of jobs."""

from alembic import op

from services.chassis.jobs import add_holds, drop_holds

revision = "0004_holds"
down_revision = "0003_artifact_claims"


def upgrade() -> None:
    """Add the columns and the index."""
    add_holds(op)


def downgrade() -> None:
    """Drop them."""
    drop_holds(op)
