"""The tables of this service besides those of its jobs."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Float, Integer, MetaData, String, Table, Text

METADATA = MetaData()


INPUTS = Table(
    "training_inputs",
    METADATA,
    Column("training_job_id", String, primary_key=True),
    Column("inputs", JSON, nullable=False),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("training_job_id", String, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    Column("start_step", BigInteger, nullable=False),
    Column("outcome", String),
    Column("reason", Text, nullable=False),
    Column("is_permanent", Boolean, nullable=False),
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("training_job_id", String, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("uri", Text, nullable=False),
    Column("digest", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)

CURVE_POINTS = Table(
    "curve_points",
    METADATA,
    Column("training_job_id", String, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("metric", String, primary_key=True),
    Column("value", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
)
