"""Test suites on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import test_suite_pb2

from services.registry.convert.artifact import artifact_from_proto, artifact_to_proto, time_to_proto
from services.registry.domain.test_case import TestCase
from services.registry.domain.test_suite import TestSuiteVersion, TestSuiteVersionDraft


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
    )
