"""Workspaces and their quotas, and to which keys, users and sessions belong."""

import sqlalchemy as sa
from alembic import op

from ui.gateway.access.store.tables import WORKSPACES

revision = "0002_workspaces"
down_revision = "0001_access"
_TABLES = ("api_keys", "users", "sessions")


def upgrade() -> None:
    """Add them, unless the tables were made with them; accounts of before belong to the default workspace."""
    for table in _TABLES:
        if "workspace_id" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}:
            op.add_column(table, sa.Column("workspace_id", sa.String, nullable=False, server_default="default"))
    WORKSPACES.create(op.get_bind(), checkfirst=True)
