"""Windows of runs that several processes work on."""

import sqlalchemy as sa
from alembic import op

revision = "0007_windows"
down_revision = "0006_workspaces"


def upgrade() -> None:
    op.create_table(
        "test_run_windows",
        sa.Column("test_run_id", sa.String, sa.ForeignKey("test_runs.test_run_id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("num_transcripts", sa.Integer, nullable=False),
        sa.Column("num_generated_tokens", sa.BigInteger, nullable=False),
        sa.Column("num_unanswered", sa.Integer, nullable=False),
    )
