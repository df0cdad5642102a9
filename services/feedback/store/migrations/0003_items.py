"""Feedback items, the cases they are on, the datasets that use them, and answers of chats that they may name."""

import sqlalchemy as sa
from alembic import op

revision = "0003_items"
down_revision = "0002_holds"

_TEXTS = (
    *("transcript_id", "test_run_id", "case_id", "chat_completion_id", "model_version_id", "test_suite_version_id"),
    *("profile_id", "prompt_size", "tool", "category", "tag", "opinion", "pair_key", "case_digest", "withdraw_reason"),
)


def upgrade() -> None:
    op.create_table(
        "feedback_items",
        sa.Column("ordinal", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("feedback_item_id", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("replaces_feedback_item_id", sa.String, nullable=False),
        sa.Column("request_digest", sa.String, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in _TEXTS),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("rating_value", sa.Integer, nullable=True),
        sa.Column("rating_scale", sa.String, nullable=True),
        sa.Column("is_judged_good", sa.Boolean, nullable=True),
        sa.Column("disagrees", sa.Boolean, nullable=False),
        sa.Column("pair_side", sa.Integer, nullable=False),
        sa.Column("withdraw_time", sa.DateTime(timezone=True), nullable=True),
        sqlite_autoincrement=True,
    )
    _create_indexes()
    _create_others()


def _create_indexes() -> None:
    for name in ("profile_id", "model_version_id", "test_suite_version_id", "tool", "author", "transcript_id"):
        op.create_index(f"feedback_items_by_{name}", "feedback_items", [name, "ordinal"])
    op.create_index("feedback_items_by_kind", "feedback_items", ["kind", "ordinal"])
    op.create_index("feedback_items_by_tag", "feedback_items", ["tag", "ordinal"])
    op.create_index("feedback_items_by_pair", "feedback_items", ["pair_key"])


def _create_others() -> None:
    op.create_table(
        "feedback_contents",
        sa.Column("feedback_item_id", sa.String, primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
    )
    op.create_table(
        "feedback_cases",
        sa.Column("case_digest", sa.String, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "feedback_uses",
        sa.Column("feedback_item_id", sa.String, primary_key=True),
        sa.Column("dataset_version_id", sa.String, primary_key=True),
    )
    op.create_table(
        "feedback_chats",
        sa.Column("chat_completion_id", sa.String, primary_key=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("document", sa.JSON, nullable=False),
    )
