"""Where the cases of a test suite come from."""

import sqlalchemy as sa
from alembic import op

revision = "0002_suite_origin"
down_revision = "0001_registry"

_TABLE, _COLUMN = "test_suite_versions", "origin"


def upgrade() -> None:
    """Add the column, unless the tables were made with it."""
    if _COLUMN not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(_TABLE)}:
        op.add_column(_TABLE, sa.Column(_COLUMN, sa.Text, nullable=False, server_default="{}"))
