"""API keys, users, sessions and the audit log."""

from alembic import op

from ui.gateway.access.store.tables import METADATA

revision = "0001_access"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    METADATA.create_all(op.get_bind())
