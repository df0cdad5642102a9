"""Tables of models, datasets and test suites."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

METADATA = MetaData()


def _version_table(name: str, *columns: Column[object]) -> Table:
    return Table(
        name,
        METADATA,
        Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("version_id", String, nullable=False, unique=True),
        Column("owner_id", String, nullable=False),
        Column("version", Integer, nullable=False),
        # Null when the caller gave none: such a call is never repeated.
        Column("request_id", String, unique=True),
        Column("artifact_uri", String, nullable=False),
        Column("artifact_digest", String, nullable=False),
        Column("artifact_size_bytes", BigInteger, nullable=False),
        Column("produced_by", String, nullable=False),
        Column("create_time", DateTime(timezone=True), nullable=False),
        Column("workspace_id", String, nullable=False, server_default="default"),
        Column("caller", String, nullable=False, server_default=""),
        *columns,
        UniqueConstraint("owner_id", "version", name=f"uq_{name}_owner_id_version"),
        Index(f"ix_{name}_artifact_digest", "artifact_digest"),
        sqlite_autoincrement=True,
    )


MODEL_VERSIONS = _version_table(
    "model_versions",
    Column("kind", String, nullable=False),
    Column("base_version_id", String, ForeignKey("model_versions.version_id")),
    Column("source_uri", String),
    Column("source_digest", String, index=True),
    Column("source_size_bytes", BigInteger),
    Column("architecture", String, nullable=False),
    Column("num_parameters", BigInteger, nullable=False),
    Column("context_length", Integer, nullable=False),
    Column("licence", String, nullable=False, server_default=""),
)

DATASET_VERSIONS = _version_table(
    "dataset_versions",
    Column("num_train_examples", Integer, nullable=False),
    Column("num_validation_examples", Integer, nullable=False),
    Column("imported_from", String, nullable=False, server_default=""),
)

TEST_SUITE_VERSIONS = _version_table(
    "test_suite_versions",
    Column("num_cases", Integer, nullable=False),
    Column("built_in", Boolean, nullable=False),
    # JSON: what is known of its origin.
    Column("origin", Text, nullable=False, server_default="{}"),
)

VERSION_TABLES = (MODEL_VERSIONS, DATASET_VERSIONS, TEST_SUITE_VERSIONS)

# Bytes that are being adopted or written: nobody deletes them, although no version holds them yet.
CLAIMS = Table(
    "artifact_claims",
    METADATA,
    Column("claim_id", String, primary_key=True),
    Column("artifact_digest", String, nullable=False, index=True),
    Column("artifact_uri", String, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
    # Whether the bytes are being deleted: until it expires nobody else claims them.
    Column("is_deleting", Boolean, nullable=False, server_default=false()),
)

# Numbers of versions that were deleted: none is ever given again.
DELETED_VERSIONS = Table(
    "deleted_versions",
    METADATA,
    Column("table_name", String, primary_key=True),
    Column("owner_id", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
)

TEST_CASES = Table(
    "test_cases",
    METADATA,
    Column("version_id", String, ForeignKey("test_suite_versions.version_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("case_id", String, nullable=False),
    Column("category", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("document", Text, nullable=False),
)

DEPLOYMENTS = Table(
    "deployments",
    METADATA,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("deployment_id", String, nullable=False, unique=True),
    Column("request_id", String, unique=True),
    Column("model_version_id", String, nullable=False, index=True),
    # What was asked for, so that a repeated request is known for the same.
    Column("asked_backend", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("image", String, nullable=False),
    Column("num_replicas", Integer, nullable=False),
    Column("num_gpus", Integer, nullable=False),
    Column("num_ctx", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("base_url", String, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # As it was asked for; null where a replica that knows no suites wrote the row.
    Column("asked_test_suite", String),
    Column("test_suite_version_id", String, nullable=False, server_default=""),
    Column("minimum_rate", Float, nullable=False, server_default="0"),
    Column("without_test", Boolean, nullable=False, server_default=false()),
    # How it does on the suite; null until it was asked.
    Column("test", JSON),
    # STARTING means TESTING where this is set: replicas of the release before cannot read that state.
    Column("is_testing", Boolean, nullable=False, server_default=false()),
    Column("workspace_id", String, nullable=False, server_default="default"),
    sqlite_autoincrement=True,
)

# Every move of every alias; where an alias points is its newest move, and no version says that it was deleted.
ALIAS_MOVES = Table(
    "alias_moves",
    METADATA,
    Column("alias_id", String, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("model_version_id", String, nullable=False),
    Column("deployment_id", String, nullable=False),
    Column("evaluation_ids", JSON, nullable=False),
    Column("shadow_model_version_id", String, nullable=False),
    # The move to which a rollback goes; 0 for none.
    Column("previous_revision", Integer, nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
)

# Which replica looks after the deployments, by the database's clock.
RECONCILERS = Table(
    "reconcilers",
    METADATA,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("until", Float, nullable=False),
)
