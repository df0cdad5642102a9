"""The tables of this service besides those of its jobs."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Index, Integer, MetaData, String, Table, Text, true

METADATA = MetaData()

# What lists look at; the long part stands apart, so that looking through all items reads little.
ITEMS = Table(
    "feedback_items",
    METADATA,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("feedback_item_id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("author", String, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
    Column("replaces_feedback_item_id", String, nullable=False),
    Column("request_digest", String, nullable=False),
    Column("transcript_id", String, nullable=False),
    Column("test_run_id", String, nullable=False),
    Column("case_id", String, nullable=False),
    Column("repeat", Integer, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("chat_completion_id", String, nullable=False),
    Column("model_version_id", String, nullable=False),
    Column("test_suite_version_id", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("prompt_size", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("category", String, nullable=False),
    Column("rating_value", Integer, nullable=True),
    Column("rating_scale", String, nullable=True),
    Column("tag", String, nullable=False),
    Column("opinion", String, nullable=False),
    Column("is_judged_good", Boolean, nullable=True),
    Column("disagrees", Boolean, nullable=False),
    Column("pair_key", String, nullable=False),
    Column("pair_side", Integer, nullable=False),
    Column("case_digest", String, nullable=False),
    Column("withdraw_time", DateTime(timezone=True), nullable=True),
    Column("withdraw_reason", String, nullable=False),
    *(
        Index(f"feedback_items_by_{name}", name, "ordinal")
        for name in ("profile_id", "model_version_id", "test_suite_version_id", "tool", "author", "transcript_id")
    ),
    Index("feedback_items_by_kind", "kind", "ordinal"),
    Index("feedback_items_by_tag", "tag", "ordinal"),
    Index("feedback_items_by_pair", "pair_key"),
    sqlite_autoincrement=True,
)

CONTENTS = Table(
    "feedback_contents",
    METADATA,
    Column("feedback_item_id", String, primary_key=True),
    Column("document", JSON, nullable=False),
)

# Cases by their digest: many items are on few cases.
CASES = Table(
    "feedback_cases",
    METADATA,
    Column("case_digest", String, primary_key=True),
    Column("document", Text, nullable=False),
)

USES = Table(
    "feedback_uses",
    METADATA,
    Column("feedback_item_id", String, primary_key=True),
    Column("dataset_version_id", String, primary_key=True),
)

CHATS = Table(
    "feedback_chats",
    METADATA,
    Column("chat_completion_id", String, primary_key=True),
    Column("create_time", DateTime(timezone=True), nullable=False, index=True),
    Column("document", JSON, nullable=False),
    Column("session_id", String, nullable=False, server_default=""),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("is_kept", Boolean, nullable=False, server_default=true()),
    # With all that lists and retention look at: a row behind its long document would be read whole.
    Index("feedback_chats_by_session", "session_id", "create_time", "chat_completion_id", "size_bytes", "is_kept"),
    Index("feedback_chats_by_age", "is_kept", "create_time", "chat_completion_id", "size_bytes"),
)

# What persons said to decisions of loops, by the loop's id and the decision's number.
LOOP_ANSWERS = Table(
    "loop_answers",
    METADATA,
    Column("loop_id", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", JSON, nullable=False),
)

SCHEDULES = Table(
    "schedules",
    METADATA,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("schedule_id", String, nullable=False, unique=True),
    Column("state", String, nullable=False),
    Column("next_due_time", DateTime(timezone=True), nullable=True),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("spec", JSON, nullable=False),
    # How its newest due time ended; empty before the first end.
    Column("last_outcome", String, nullable=False),
    Column("workspace_id", String, nullable=False, server_default="default"),
    sqlite_autoincrement=True,
)

# A row for each due time that has come; the outcome is NULL while its run goes on.
SCHEDULED_RUNS = Table(
    "scheduled_runs",
    METADATA,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("scheduled_run_id", String, nullable=False, unique=True),
    Column("schedule_id", String, nullable=False),
    Column("due_time", DateTime(timezone=True), nullable=False),
    Column("is_manual", Boolean, nullable=False),
    Column("num_missed", Integer, nullable=False),
    Column("outcome", String, nullable=True),
    Column("sentence", Text, nullable=False),
    Column("report", JSON, nullable=False),
    Column("workspace_id", String, nullable=False, server_default="default"),
    Index("scheduled_runs_by_schedule", "schedule_id", "ordinal"),
    Index("scheduled_runs_by_outcome", "outcome"),
    sqlite_autoincrement=True,
)
