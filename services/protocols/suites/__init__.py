"""Suites: cases as immutable data, read with their line numbers, and checked for overlap with training data."""

from services.protocols.suites.provenance import Provenance, provenance_from_document
from services.protocols.suites.suite import Suite, SuiteError, parse_suite, suite_text

__all__ = ["Provenance", "Suite", "SuiteError", "parse_suite", "provenance_from_document", "suite_text"]
