"""Runs count the transcripts that have no answer."""

import sqlalchemy as sa
from alembic import op

revision = "0003_unanswered"
down_revision = "0002_turns"


def upgrade() -> None:
    op.add_column("test_runs", sa.Column("num_unanswered", sa.Integer, nullable=False, server_default="0"))
    op.execute(
        "UPDATE test_runs SET num_unanswered = (SELECT count(*) FROM transcripts "
        "WHERE transcripts.test_run_id = test_runs.test_run_id AND finish_reason = 'backend_fault')"
    )
