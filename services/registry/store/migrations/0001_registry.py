"""Jobs, models, datasets and test suites."""

from alembic import op

from services.chassis.jobs.tables import create_job_tables
from services.registry.store.tables import METADATA

revision = "0001_registry"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    create_job_tables()
    METADATA.create_all(op.get_bind(), checkfirst=False)
