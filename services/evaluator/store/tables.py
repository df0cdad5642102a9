"""The tables of this service besides those of its jobs."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Integer, MetaData, String, Table, Text

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
)
