"""Files of test cases: one reader per format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from services.registry.domain.jsonl import scan_lines
from services.registry.domain.suite_source import Conversion, Rows, SuiteFormat, SuiteReader
from services.registry.importers.suites.bfcl import read_bfcl
from services.registry.importers.suites.prompts import read_prompts


def read_cases_file(content: Path, conversion: Conversion, answers: Path | None) -> Rows:
    """Yield the lines of a file of cases, as suites store them."""
    with content.open("rb") as stream:
        yield from scan_lines(stream)


SUITE_READERS: Mapping[SuiteFormat, SuiteReader] = MappingProxyType(
    {SuiteFormat.CASES: read_cases_file, SuiteFormat.BFCL: read_bfcl, SuiteFormat.PROMPTS: read_prompts}
)
