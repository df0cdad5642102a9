"""Tables of API keys, users, sessions, workspaces and the audit log."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, Integer, MetaData, String, Table

METADATA = MetaData()
_TIME = DateTime(timezone=True)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("key_id", String, primary_key=True),
    Column("scopes", JSON, nullable=False),
    Column("secret_hash", String, nullable=False),
    Column("excerpt", String, nullable=False),
    Column("creator", String, nullable=False),
    Column("create_time", _TIME, nullable=False),
    Column("expire_time", _TIME),
    Column("last_use_time", _TIME),
    Column("revoke_time", _TIME),
    Column("workspace_id", String, nullable=False, server_default="default"),
)
USERS = Table(
    "users",
    METADATA,
    Column("user_id", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("password_hash", String, nullable=False),
    Column("creator", String, nullable=False),
    Column("create_time", _TIME, nullable=False),
    Column("workspace_id", String, nullable=False, server_default="default"),
)
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("token_digest", String, primary_key=True),
    Column("caller", String, nullable=False, index=True),
    Column("scopes", JSON, nullable=False),
    Column("create_time", _TIME, nullable=False),
    Column("expire_time", _TIME, nullable=False),
    Column("workspace_id", String, nullable=False, server_default="default"),
)
WORKSPACES = Table(
    "workspaces",
    METADATA,
    Column("workspace_id", String, primary_key=True),
    Column("creator", String, nullable=False),
    Column("create_time", _TIME, nullable=False),
    Column("max_jobs", BigInteger, nullable=False),
    Column("max_tokens", BigInteger, nullable=False),
    Column("max_bytes", BigInteger, nullable=False),
)
AUDIT_EVENTS = Table(
    "audit_events",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("time", _TIME, nullable=False),
    Column("caller", String, nullable=False),
    Column("address", String, nullable=False),
    Column("action", String, nullable=False),
    Column("status", Integer, nullable=False),
    Index("ix_audit_events_time", "time"),
    sqlite_autoincrement=True,
)
