"""The licence of a model version, as its source names it."""

import sqlalchemy as sa
from alembic import op

revision = "0008_licences"
down_revision = "0007_deployments"


def upgrade() -> None:
    """Add the column, unless the table was made with it; of earlier versions nothing is known."""
    if "licence" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("model_versions")}:
        op.add_column("model_versions", sa.Column("licence", sa.String, nullable=False, server_default=""))
