"""Schedules and their due times."""

import sqlalchemy as sa
from alembic import op

revision = "0006_schedules"
down_revision = "0005_sessions"


def upgrade() -> None:
    ordinal = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "schedules",
        sa.Column("ordinal", ordinal, primary_key=True, autoincrement=True),
        sa.Column("schedule_id", sa.String, nullable=False, unique=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("next_due_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("last_outcome", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "scheduled_runs",
        sa.Column("ordinal", ordinal, primary_key=True, autoincrement=True),
        sa.Column("scheduled_run_id", sa.String, nullable=False, unique=True),
        sa.Column("schedule_id", sa.String, nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_manual", sa.Boolean, nullable=False),
        sa.Column("num_missed", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String, nullable=True),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("scheduled_runs_by_schedule", "scheduled_runs", ["schedule_id", "ordinal"])
    op.create_index("scheduled_runs_by_outcome", "scheduled_runs", ["outcome"])
