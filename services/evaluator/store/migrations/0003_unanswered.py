"""Figures of evaluations that counted cases without an answer as failures are made again from their verdicts."""

from alembic import op

revision = "0003_unanswered"
down_revision = "0002_metrics"


def upgrade() -> None:
    op.execute(
        "UPDATE evaluations SET metrics = NULL, totals = NULL "
        "WHERE evaluation_id IN (SELECT evaluation_id FROM verdicts WHERE cause = 'backend_fault')"
    )
