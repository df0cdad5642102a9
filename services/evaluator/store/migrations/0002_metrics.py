"""Graders, totals and final metrics of evaluations; what verdicts need for filters, advice and usage."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002_metrics"
down_revision = "0001_evaluations"

_NEW = {
    "evaluations": (
        sa.Column("grader", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("num_graded", sa.Integer, nullable=False, server_default="0"),
        sa.Column("totals", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("metrics", sa.JSON(none_as_null=True), nullable=True),
    ),
    "verdicts": (
        sa.Column("layer", sa.String, nullable=False, server_default=""),
        sa.Column("fault", sa.String, nullable=False, server_default=""),
        sa.Column("is_sole", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("num_turns", sa.Integer, nullable=False, server_default="1"),
        sa.Column("had_client_error", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("scores", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("style_notes", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("num_prompt_tokens", sa.Integer, nullable=False, server_default="0"),
        sa.Column("num_cached_tokens", sa.Integer, nullable=False, server_default="0"),
        sa.Column("num_generated_tokens", sa.Integer, nullable=False, server_default="0"),
        sa.Column("latency_seconds", sa.Float, nullable=False, server_default="0"),
        sa.Column("decode_seconds", sa.Float, nullable=False, server_default="0"),
    ),
}


def upgrade() -> None:
    for table, columns in _NEW.items():
        for column in columns:
            op.add_column(table, column)
    _name_failed_layers()
    op.create_index("verdicts_by_case", "verdicts", ["evaluation_id", "case_id"])
    op.create_index("verdicts_by_cause", "verdicts", ["evaluation_id", "cause"])


def _name_failed_layers() -> None:
    # A verdict's first failed layer is in its list of layers; lists filter by it, so it gets a column.
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT evaluation_id, sequence, CAST(layers AS TEXT) FROM verdicts WHERE NOT conforming")
    ).all()
    named = [
        {"layer": layer["name"], "evaluation_id": evaluation_id, "sequence": sequence}
        for evaluation_id, sequence, layers in rows
        for layer in [one for one in json.loads(layers) if one["status"] == "failed"][:1]
    ]
    if named:
        change = "UPDATE verdicts SET layer = :layer WHERE evaluation_id = :evaluation_id AND sequence = :sequence"
        connection.execute(sa.text(change), named)
