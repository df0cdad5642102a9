"""Numbers of deleted versions, so that none is given again."""

import sqlalchemy as sa
from alembic import op

from services.registry.store.tables import DELETED_VERSIONS

revision = "0005_deleted_versions"
down_revision = "0004_holds"


def upgrade() -> None:
    """Add the table, unless it was made with the others."""
    if DELETED_VERSIONS.name not in sa.inspect(op.get_bind()).get_table_names():
        DELETED_VERSIONS.create(op.get_bind())
