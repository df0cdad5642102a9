"""The job tables alone, for a service that keeps nothing else."""

from alembic import op

from services.chassis.jobs.tables import create_job_tables, drop_job_tables

revision = "0001_jobs"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    create_job_tables(op)


def downgrade() -> None:
    """Drop the tables."""
    drop_job_tables(op)
