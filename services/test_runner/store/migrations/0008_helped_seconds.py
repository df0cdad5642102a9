"""For how long processes worked on a run that another process holds."""

import sqlalchemy as sa
from alembic import op

revision = "0008_helped_seconds"
down_revision = "0007_windows"


def upgrade() -> None:
    op.add_column("test_runs", sa.Column("helped_seconds", sa.JSON, nullable=False, server_default="{}"))
