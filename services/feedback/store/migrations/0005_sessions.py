"""Sessions of clients: which answer belongs to which, and what a person keeps of them."""

import sqlalchemy as sa
from alembic import op

revision = "0005_sessions"
down_revision = "0004_loop_answers"

_TABLE = "feedback_chats"
_INDEXES = {
    "feedback_chats_by_session": ["session_id", "create_time", "chat_completion_id", "size_bytes", "is_kept"],
    "feedback_chats_by_age": ["is_kept", "create_time", "chat_completion_id", "size_bytes"],
}


def upgrade() -> None:
    """Add the columns, unless the table was made with them; somebody has asked for all answers of before."""
    if "session_id" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(_TABLE)}:
        return
    op.add_column(_TABLE, sa.Column("session_id", sa.String, nullable=False, server_default=""))
    op.add_column(_TABLE, sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column(_TABLE, sa.Column("is_kept", sa.Boolean, nullable=False, server_default=sa.true()))
    for name, columns in _INDEXES.items():
        op.create_index(name, _TABLE, columns)
