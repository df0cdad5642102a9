"""Files of test cases: one reader per format."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from services.registry.domain.suite_source import SuiteFormat
from services.registry.importers.suites.bfcl import read_bfcl
from services.registry.importers.suites.cases import read_cases_file
from services.registry.importers.suites.prompts import read_prompts
from services.registry.ports import SuiteReader

SUITE_READERS: Mapping[SuiteFormat, SuiteReader] = MappingProxyType(
    {SuiteFormat.CASES: read_cases_file, SuiteFormat.BFCL: read_bfcl, SuiteFormat.PROMPTS: read_prompts}
)
