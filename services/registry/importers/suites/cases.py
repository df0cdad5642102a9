"""Files of cases, as suites store them."""

from __future__ import annotations

from pathlib import Path

from services.registry.domain.jsonl import scan_lines
from services.registry.domain.suite_source import Conversion, Rows


def read_cases_file(content: Path, conversion: Conversion, answers: Path | None) -> Rows:
    """Yield the lines as they are."""
    with content.open("rb") as stream:
        yield from scan_lines(stream)
