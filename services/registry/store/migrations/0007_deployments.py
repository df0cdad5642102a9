"""Deployments, the moves of aliases, and which replica looks after the deployments."""

import sqlalchemy as sa
from alembic import op

from services.registry.store.tables import ALIAS_MOVES, DEPLOYMENTS, RECONCILERS

revision = "0007_deployments"
down_revision = "0006_deletions"

_TABLES = (DEPLOYMENTS, ALIAS_MOVES, RECONCILERS)


def upgrade() -> None:
    """Add the tables, unless they were made with the others."""
    names = sa.inspect(op.get_bind()).get_table_names()
    for table in _TABLES:
        if table.name not in names:
            table.create(op.get_bind())
