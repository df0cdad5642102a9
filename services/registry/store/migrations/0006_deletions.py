"""Which claims are on bytes that are being deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0006_deletions"
down_revision = "0005_deleted_versions"

_TABLE, _COLUMN = "artifact_claims", "is_deleting"


def upgrade() -> None:
    """Add the column, unless the table was made with it."""
    if _COLUMN not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(_TABLE)}:
        op.add_column(_TABLE, sa.Column(_COLUMN, sa.Boolean, nullable=False, server_default=sa.false()))
