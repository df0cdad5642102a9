"""The tables of this service besides those of its jobs."""

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

TEST_RUNS = Table(
    "test_runs",
    METADATA,
    Column("test_run_id", String, primary_key=True),
    Column("inputs", JSON, nullable=False),
    Column("environment", JSON, nullable=False),
    Column("num_transcripts", Integer, nullable=False),
    Column("num_generated_tokens", BigInteger, nullable=False),
    Column("num_unanswered", Integer, nullable=False, server_default="0"),
    # By the job of each share.
    Column("helped_seconds", JSON, nullable=False, server_default="{}"),
)

TRANSCRIPTS = Table(
    "transcripts",
    METADATA,
    Column("test_run_id", String, ForeignKey("test_runs.test_run_id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("transcript_id", String, nullable=False, unique=True),
    Column("case_id", String, nullable=False),
    Column("repeat", Integer, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("token_ids", Text, nullable=False),
    Column("finish_reason", String, nullable=False),
    Column("num_prompt_tokens", Integer, nullable=False),
    Column("num_cached_tokens", Integer, nullable=False),
    Column("prefill_seconds", Float, nullable=False),
    Column("decode_seconds", Float, nullable=False),
    Column("turns", JSON, nullable=False, server_default="[]"),
    Column("stop", String, nullable=False, server_default=""),
    Index("transcripts_by_case", "test_run_id", "case_id", "repeat"),
)

# Windows of a run that several processes work on: those that a hold has claimed, and those that are stored (they have
# transcripts) behind one that is not. A window that follows what the run counts has no row.
TEST_RUN_WINDOWS = Table(
    "test_run_windows",
    METADATA,
    Column("test_run_id", String, ForeignKey("test_runs.test_run_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("job_id", String, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("num_transcripts", Integer, nullable=False),
    Column("num_generated_tokens", BigInteger, nullable=False),
    Column("num_unanswered", Integer, nullable=False),
)
