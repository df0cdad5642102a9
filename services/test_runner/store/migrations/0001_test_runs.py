"""Jobs, test runs and transcripts."""

import sqlalchemy as sa
from alembic import op

from services.chassis.jobs import create_job_tables

revision = "0001_test_runs"
down_revision = None


def upgrade() -> None:
    create_job_tables()
    op.create_table(
        "test_runs",
        sa.Column("test_run_id", sa.String, primary_key=True),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.Column("num_transcripts", sa.Integer, nullable=False),
        sa.Column("num_generated_tokens", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "transcripts",
        sa.Column("test_run_id", sa.String, sa.ForeignKey("test_runs.test_run_id"), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("transcript_id", sa.String, nullable=False, unique=True),
        sa.Column("case_id", sa.String, nullable=False),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("token_ids", sa.Text, nullable=False),
        sa.Column("finish_reason", sa.String, nullable=False),
        sa.Column("num_prompt_tokens", sa.Integer, nullable=False),
        sa.Column("num_cached_tokens", sa.Integer, nullable=False),
        sa.Column("prefill_seconds", sa.Float, nullable=False),
        sa.Column("decode_seconds", sa.Float, nullable=False),
    )
