"""The suites that deployments must pass, and to which workspace they belong."""

import sqlalchemy as sa
from alembic import op

revision = "0012_deployment_tests"
down_revision = "0011_workspaces"


def upgrade() -> None:
    """Add the columns, unless the table was made with them; deployments of before have no suite to pass."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("deployments")}
    for column in (
        sa.Column("asked_test_suite", sa.String),
        sa.Column("test_suite_version_id", sa.String, nullable=False, server_default=""),
        sa.Column("minimum_rate", sa.Float, nullable=False, server_default="0"),
        sa.Column("without_test", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("test", sa.JSON),
        sa.Column("is_testing", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("workspace_id", sa.String, nullable=False, server_default="default"),
    ):
        if column.name not in known:
            op.add_column("deployments", column)
