"""Claims on bytes that no version holds yet."""

import sqlalchemy as sa
from alembic import op

from services.registry.store.tables import CLAIMS

revision = "0003_artifact_claims"
down_revision = "0002_suite_origin"


def upgrade() -> None:
    """Add the table, unless it was made with the others."""
    if CLAIMS.name not in sa.inspect(op.get_bind()).get_table_names():
        CLAIMS.create(op.get_bind())
