"""The file that a dataset version was made of."""

import sqlalchemy as sa
from alembic import op

revision = "0009_dataset_origin"
down_revision = "0008_licences"


def upgrade() -> None:
    """Add the column, unless the table was made with it; earlier versions were registered as they came."""
    if "imported_from" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("dataset_versions")}:
        op.add_column("dataset_versions", sa.Column("imported_from", sa.String, nullable=False, server_default=""))
