"""Whose jobs and versions are, and the tokens of workspaces."""

import sqlalchemy as sa
from alembic import op

from services.chassis.jobs import add_workspaces

revision = "0011_workspaces"
down_revision = "0010_worked_seconds"
_TABLES = ("model_versions", "dataset_versions", "test_suite_versions")
_DEFAULTS = {"workspace_id": "default", "caller": ""}


def upgrade() -> None:
    """Add the columns, unless the tables were made with them; versions of before belong to the default workspace."""
    add_workspaces()
    for table in _TABLES:
        columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        for name, default in _DEFAULTS.items():
            if name not in columns:
                op.add_column(table, sa.Column(name, sa.String, nullable=False, server_default=default))
