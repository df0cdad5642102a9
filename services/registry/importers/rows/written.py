"""Rows written to a file: as lines of a dataset, in OpenAI's form for fine-tuning, or as Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from services.protocols.suites.dataset_row import DatasetRow

_BATCH_ROWS = 500


def write_lines(lines: Iterable[str], out: Path) -> None:
    """Write lines, which bring their ends."""
    with out.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def write_rows(rows: Iterable[DatasetRow], out: Path) -> None:
    """Write rows as they are."""
    write_lines((json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows), out)


def write_messages(rows: Iterable[DatasetRow], out: Path) -> None:
    """Write rows in OpenAI's form: conversations with their tools, of pairs its form for preferences."""
    write_lines((json.dumps(_openai(row), ensure_ascii=False) + "\n" for row in rows), out)


def write_parquet(rows: Iterable[DatasetRow], out: Path) -> None:
    """Write rows as they are; messages are lists of objects, tools and case are JSON texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    call = pa.struct(
        [
            ("id", pa.string()),
            ("type", pa.string()),
            ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
        ]
    )
    message = pa.struct(
        [
            ("role", pa.string()),
            ("content", pa.string()),
            ("tool_calls", pa.list_(call)),
            ("tool_call_id", pa.string()),
            ("weight", pa.int8()),
        ]
    )
    texts = ("example_id", "split", "feedback_item_id", "reason", "cause", "tool", "category", "profile_id")
    schema = pa.schema(
        [
            *((name, pa.string()) for name in texts),
            ("weight", pa.float64()),
            ("messages", pa.list_(message)),
            ("rejected", message),
            ("tools", pa.string()),
            ("case", pa.string()),
        ]
    )
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            writer.write_batch(pa.RecordBatch.from_pylist([*map(_columns, batch)], schema=schema))


def _openai(row: DatasetRow) -> dict[str, Any]:
    tools = {"tools": list(row.tools)} if row.tools else {}
    if row.rejected is None:
        return {"messages": _weighted(row), **tools}
    return {
        "input": {"messages": list(row.messages[:-1]), **tools},
        "preferred_output": [row.messages[-1]],
        "non_preferred_output": [row.rejected],
    }


def _weighted(row: DatasetRow) -> list[Mapping[str, Any]]:
    """Return messages, of which answers that are not trained say so: without that others would train them."""
    trained = set(row.trained_turns)
    return [
        {**message, "weight": 0} if message["role"] == "assistant" and place not in trained else message
        for place, message in enumerate(row.messages)
    ]


def _columns(row: DatasetRow) -> dict[str, Any]:
    document = row.to_json()
    texts = {name: json.dumps(document[name], ensure_ascii=False) for name in ("tools", "case") if name in document}
    return document | texts


def _batches(rows: Iterable[DatasetRow]) -> Iterator[list[DatasetRow]]:
    source = iter(rows)
    while batch := [*islice(source, _BATCH_ROWS)]:
        yield batch
