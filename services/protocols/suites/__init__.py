"""Suites: cases as immutable data, read with their line numbers, and checked for overlap with training data."""

from services.protocols.suites.reading import Suite, SuiteError, parse_suite, suite_text

__all__ = ["Suite", "SuiteError", "parse_suite", "suite_text"]
