"""What persons said to decisions of loops."""

import sqlalchemy as sa
from alembic import op

revision = "0004_loop_answers"
down_revision = "0003_items"


def upgrade() -> None:
    op.create_table(
        "loop_answers",
        sa.Column("loop_id", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
    )
