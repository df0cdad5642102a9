"""Transcripts of several answers, found by their case."""

import sqlalchemy as sa
from alembic import op

revision = "0002_turns"
down_revision = "0001_test_runs"


def upgrade() -> None:
    op.add_column("transcripts", sa.Column("turns", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("transcripts", sa.Column("stop", sa.String, nullable=False, server_default=""))
    op.create_index("transcripts_by_case", "transcripts", ["test_run_id", "case_id", "repeat"])
