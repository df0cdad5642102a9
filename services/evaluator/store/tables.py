"""The tables of this service besides those of its jobs."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)

METADATA = MetaData()

EVALUATIONS = Table(
    "evaluations",
    METADATA,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("evaluation_id", String, nullable=False, unique=True),
    Column("test_run_id", String, nullable=False, index=True),
    Column("subject", JSON, nullable=False),
    Column("judge_digest", String, nullable=False),
    Column("num_verdicts", Integer, nullable=False),
    Column("grader", JSON(none_as_null=True), nullable=True),
    Column("num_graded", Integer, nullable=False, server_default="0"),
    Column("totals", JSON(none_as_null=True), nullable=True),
    Column("metrics", JSON(none_as_null=True), nullable=True),
    sqlite_autoincrement=True,
)

VERDICTS = Table(
    "verdicts",
    METADATA,
    Column("evaluation_id", String, ForeignKey("evaluations.evaluation_id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("transcript_id", String, nullable=False),
    Column("case_id", String, nullable=False),
    Column("repeat", Integer, nullable=False),
    Column("tool", String, nullable=False),
    Column("category", String, nullable=False),
    Column("conforming", Boolean, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("well_formed", Boolean, nullable=False),
    Column("cause", String, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("layers", JSON, nullable=False),
    Column("layer", String, nullable=False, server_default=""),
    Column("fault", String, nullable=False, server_default=""),
    Column("is_sole", Boolean, nullable=False, server_default=false()),
    Column("num_turns", Integer, nullable=False, server_default="1"),
    Column("had_client_error", Boolean, nullable=False, server_default=false()),
    Column("scores", JSON, nullable=False, server_default="{}"),
    Column("style_notes", JSON, nullable=False, server_default="[]"),
    Column("num_prompt_tokens", Integer, nullable=False, server_default="0"),
    Column("num_cached_tokens", Integer, nullable=False, server_default="0"),
    Column("num_generated_tokens", Integer, nullable=False, server_default="0"),
    Column("latency_seconds", Float, nullable=False, server_default="0"),
    Column("decode_seconds", Float, nullable=False, server_default="0"),
    Index("verdicts_by_case", "evaluation_id", "case_id"),
    Index("verdicts_by_cause", "evaluation_id", "cause"),
)
