"""Jobs, evaluations and verdicts."""

import sqlalchemy as sa
from alembic import op

from services.chassis.jobs import create_job_tables

revision = "0001_evaluations"
down_revision = None


def upgrade() -> None:
    create_job_tables()
    op.create_table(
        "evaluations",
        sa.Column("ordinal", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("evaluation_id", sa.String, nullable=False, unique=True),
        sa.Column("test_run_id", sa.String, nullable=False, index=True),
        sa.Column("subject", sa.JSON, nullable=False),
        sa.Column("judge_digest", sa.String, nullable=False),
        sa.Column("num_verdicts", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "verdicts",
        sa.Column("evaluation_id", sa.String, sa.ForeignKey("evaluations.evaluation_id"), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("transcript_id", sa.String, nullable=False),
        sa.Column("case_id", sa.String, nullable=False),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("tool", sa.String, nullable=False),
        sa.Column("category", sa.String, nullable=False),
        sa.Column("conforming", sa.Boolean, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("well_formed", sa.Boolean, nullable=False),
        sa.Column("cause", sa.String, nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("layers", sa.JSON, nullable=False),
    )
