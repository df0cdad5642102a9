"""Jobs, their inputs, attempts, checkpoints and curves."""

import sqlalchemy as sa
from alembic import op

from services.chassis.jobs.tables import create_job_tables

revision = "0001_training"
down_revision = None


def upgrade() -> None:
    create_job_tables()
    op.create_table(
        "training_inputs",
        sa.Column("training_job_id", sa.String, sa.ForeignKey("jobs.job_id"), primary_key=True),
        sa.Column("inputs", sa.JSON, nullable=False),
    )
    op.create_table(
        "attempts",
        sa.Column("training_job_id", sa.String, sa.ForeignKey("jobs.job_id"), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("start_step", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("is_permanent", sa.Boolean, nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("training_job_id", sa.String, sa.ForeignKey("jobs.job_id"), primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "curve_points",
        sa.Column("training_job_id", sa.String, sa.ForeignKey("jobs.job_id"), primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.String, primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
    )
