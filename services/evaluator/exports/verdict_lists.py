"""All verdicts: a line each for spreadsheets, or one JSON object with provenance and metrics."""

import csv
import io
import json
import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import asdict

from services.evaluator.domain.verdict import Verdict
from services.evaluator.exports.source import Source, provenance_document
from services.protocols.verdict import LayerName

_COLUMNS = (
    *("sequence", "transcript_id", "case_id", "repeat", "tool", "category", "is_answered"),
    *("conforming", "accepted", "well_formed", "cause", "layer", "fault", "sentence", "num_turns", "had_client_error"),
)
_SPENT = ("num_prompt_tokens", "num_cached_tokens", "num_generated_tokens", "latency_seconds")
# A spreadsheet runs a cell that begins so; an apostrophe before it makes it text. One that separates by semicolons or
# tabs finds the quotes of a cell only where a line begins, and so another cell, or line, inside of it.
_FORMULA = re.compile(r"(^(?=[\t\r])|(?:^|[;\t\r\n])(?=[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20]))")


async def write_csv(source: Source) -> AsyncGenerator[str]:
    """Yield a header and one line per verdict, with a column for each layer's status and each score's name."""
    scores = sorted(source.metrics.mean_scores)
    layers = [name.value for name in LayerName]
    header = (*_COLUMNS, *_SPENT, *(f"layer.{name}" for name in layers), *(f"score.{name}" for name in scores))
    yield _line(header)
    async for verdict in source.verdicts():
        yield _line(_cells(verdict, scores))


def escaped(cell: object) -> object:
    """Return a cell that no spreadsheet runs as a formula; numbers stay numbers."""
    return _FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell


def _cells(verdict: Verdict, scores: Iterable[str]) -> list[object]:
    statuses = {layer.name: layer.status.value for layer in verdict.layers}
    return [
        *(getattr(verdict, name) for name in _COLUMNS),
        *(getattr(verdict.spent, name) for name in _SPENT),
        *(statuses.get(name.value, "") for name in LayerName),
        *(verdict.scores.get(name, "") for name in scores),
    ]


def _line(cells: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([escaped(cell) for cell in cells])
    return buffer.getvalue()


async def write_json(source: Source) -> AsyncGenerator[str]:
    """Yield one JSON object in pieces; its verdicts are in the order of judging."""
    record = source.record
    head = {
        "evaluation_id": record.evaluation_id,
        "state": source.state,
        "create_time": source.create_time,
        "end_time": source.end_time,
        "provenance": provenance_document(record, source.run),
        "metrics": asdict(source.metrics),
        "comparison": asdict(source.before.comparison) if source.before else None,
        "facts": [vars(fact) for fact in source.facts],
    }
    yield f'{json.dumps(head, ensure_ascii=False)[:-1]}, "verdicts": ['
    separator = "\n"
    async for verdict in source.verdicts():
        yield separator + json.dumps(
            {**asdict(verdict), "layer": verdict.layer, "is_answered": verdict.is_answered}, ensure_ascii=False
        )
        separator = ",\n"
    yield "\n]}\n"
