"""Exports: an evaluation as a file for other programs, or as a page for people."""

from dataclasses import dataclass
from enum import StrEnum


class ExportFormat(StrEnum):
    """The form of an export."""

    JSON = "json"
    CSV = "csv"
    INSPECT = "inspect"
    HTML = "html"
    PAIRS = "pairs"


@dataclass(frozen=True)
class ExportFact:
    """One further line of a page's provenance."""

    group: str
    name: str
    value: str
