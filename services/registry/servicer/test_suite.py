"""RPCs of test suites."""

from __future__ import annotations

from operator import attrgetter

from drillyard.registry.v1 import test_suite_pb2

from services.chassis.artifacts import Artifact
from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.convert import (
    conversion_from_proto,
    test_suite_version_draft,
    test_suite_version_to_proto,
    validation_to_proto,
)
from services.registry.domain.paging import page_request
from services.registry.usecases.test_suite import TestSuiteUseCases

_versions = ResourceRpcs(attrgetter("test_suites"), test_suite_version_to_proto)


class TestSuiteRpcs:
    """Create, get and list, of suites and of their cases."""

    test_suites: TestSuiteUseCases
    GetTestSuiteVersion = _versions.get(test_suite_pb2.GetTestSuiteVersionResponse, "get_version")
    DeleteTestSuiteVersion = _versions.delete(test_suite_pb2.DeleteTestSuiteVersionResponse, "delete_version")

    async def CreateTestSuiteVersion(
        self, request: test_suite_pb2.CreateTestSuiteVersionRequest, context: Context
    ) -> test_suite_pb2.CreateTestSuiteVersionResponse:
        """Register a suite version."""
        conversion = conversion_from_proto(request.conversion)
        version = await self.test_suites.create_version(test_suite_version_draft(request), conversion)
        return test_suite_pb2.CreateTestSuiteVersionResponse(test_suite_version=test_suite_version_to_proto(version))

    async def ValidateTestSuite(
        self, request: test_suite_pb2.ValidateTestSuiteRequest, context: Context
    ) -> test_suite_pb2.ValidateTestSuiteResponse:
        """Say which lines of a file are wrong."""
        conversion = conversion_from_proto(request.conversion)
        artifact = from_message(Artifact, request.artifact)
        return validation_to_proto(await self.test_suites.validate(request.test_suite_id, artifact, conversion))

    async def ListTestSuiteVersions(
        self, request: test_suite_pb2.ListTestSuiteVersionsRequest, context: Context
    ) -> test_suite_pb2.ListTestSuiteVersionsResponse:
        """List suite versions, newest first."""
        page = await self.test_suites.list_versions(
            request.test_suite_id,
            page_request(request.page_size, request.page_token),
            built_in_only=request.built_in_only,
        )
        return test_suite_pb2.ListTestSuiteVersionsResponse(
            test_suite_versions=map(test_suite_version_to_proto, page.items), next_page_token=page.next_token
        )

    async def ListTestCases(
        self, request: test_suite_pb2.ListTestCasesRequest, context: Context
    ) -> test_suite_pb2.ListTestCasesResponse:
        """List the cases of a suite version in their order."""
        page = await self.test_suites.list_cases(
            request.test_suite_version_id, page_request(request.page_size, request.page_token)
        )
        return test_suite_pb2.ListTestCasesResponse(
            test_cases=[to_message(case, test_suite_pb2.TestCase) for case in page.items],
            next_page_token=page.next_token,
        )
