"""The tables of durable jobs, which hold the loops."""

from alembic import op

from services.chassis.jobs import create_job_tables, drop_job_tables

revision = "0001_jobs"
down_revision = None


def upgrade() -> None:
    create_job_tables(op)


def downgrade() -> None:
    drop_job_tables(op)
