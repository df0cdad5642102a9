"""Test suites on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import test_suite_pb2

from services.chassis.errors import InvalidArgument
from services.protocols.suites import Provenance, provenance_from_document
from services.registry.convert.artifact import artifact_from_proto, artifact_to_proto, time_to_proto
from services.registry.domain.jsonl import told_fault
from services.registry.domain.suite_source import AS_THEY_ARE, Conversion, Reading, SuiteFormat
from services.registry.domain.test_case import TestCase
from services.registry.domain.test_suite import TestSuiteVersion, TestSuiteVersionDraft

_FORMATS = {
    test_suite_pb2.TEST_SUITE_FORMAT_UNSPECIFIED: SuiteFormat.CASES,
    test_suite_pb2.TEST_SUITE_FORMAT_CASES: SuiteFormat.CASES,
    test_suite_pb2.TEST_SUITE_FORMAT_BFCL: SuiteFormat.BFCL,
    test_suite_pb2.TEST_SUITE_FORMAT_PROMPTS: SuiteFormat.PROMPTS,
}


def test_suite_version_to_proto(version: TestSuiteVersion) -> test_suite_pb2.TestSuiteVersion:
    """Return the version as callers see it."""
    return test_suite_pb2.TestSuiteVersion(
        test_suite_version_id=version.version_id,
        test_suite_id=version.test_suite_id,
        version=version.version,
        profile_id=version.profile_id,
        artifact=artifact_to_proto(version.artifact),
        num_cases=version.num_cases,
        built_in=version.built_in,
        produced_by=version.produced_by,
        create_time=time_to_proto(version.create_time),
        provenance=test_suite_pb2.TestSuiteProvenance(**version.provenance.to_document()),
        imported_from=version.imported_from,
    )


def test_case_to_proto(case: TestCase) -> test_suite_pb2.TestCase:
    """Return the case as callers see it."""
    return test_suite_pb2.TestCase(case_id=case.case_id, category=case.category, tool=case.tool, document=case.document)


def test_suite_version_draft(request: test_suite_pb2.CreateTestSuiteVersionRequest) -> TestSuiteVersionDraft:
    """Return what a caller asks to register; its cases are not counted yet."""
    return TestSuiteVersionDraft(
        request_id=request.request_id,
        test_suite_id=request.test_suite_id,
        artifact=artifact_from_proto(request.artifact),
        produced_by=request.produced_by,
        num_cases=0,
        built_in=False,
        provenance=provenance_from_proto(request.provenance),
    )


def provenance_from_proto(provenance: test_suite_pb2.TestSuiteProvenance) -> Provenance:
    """Return what a caller knows of a suite's origin."""
    return provenance_from_document({field.name: value for field, value in provenance.ListFields()})


def conversion_from_proto(conversion: test_suite_pb2.TestSuiteConversion) -> Conversion:
    """Return how lines are to become cases; a format that is not known is refused.

    Raises:
        InvalidArgument: The format is of a newer release.
    """
    if conversion.format not in _FORMATS:
        raise InvalidArgument("The conversion's format is unknown.", "Use a format that this release knows.")
    return Conversion(
        format=_FORMATS[conversion.format],
        answers=artifact_from_proto(conversion.answers) if conversion.HasField("answers") else None,
        scorer=conversion.scorer or AS_THEY_ARE.scorer,
        threshold=conversion.threshold or AS_THEY_ARE.threshold,
        skips_wrong_lines=conversion.skips_wrong_lines,
    )


def validation_to_proto(reading: Reading) -> test_suite_pb2.ValidateTestSuiteResponse:
    """Return what came of reading a file."""
    problems = [
        test_suite_pb2.TestSuiteProblem(line=line, problem=told_fault(fault)) for line, fault in reading.problems
    ]
    return test_suite_pb2.ValidateTestSuiteResponse(
        num_cases=len(reading.cases), problems=problems, is_cut=reading.is_cut
    )
