"""The registry over gRPC."""

import json

import grpc.aio
from drillyard.registry.v1 import model_pb2, registry_service_pb2_grpc, test_suite_pb2

from services.chassis.errors import FailedPrecondition
from services.protocols.cases import Case, case_from_document

_PAGE_SIZE = 100


class RegistryClient:
    """Answers the ports `Suites` and `ModelVersions` from a registry service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def check_model_version(self, model_version_id: str) -> None:
        """Return when there is such a version.

        Raises:
            NotFound: There is none.
        """
        await self._stub.GetModelVersion(model_pb2.GetModelVersionRequest(model_version_id=model_version_id))

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        """Return all cases of a suite version.

        Raises:
            NotFound: There is no such version.
            FailedPrecondition: A case is not one that this release can read.
        """
        cases: list[Case] = []
        token = ""
        while True:
            request = test_suite_pb2.ListTestCasesRequest(
                test_suite_version_id=test_suite_version_id, page_size=_PAGE_SIZE, page_token=token
            )
            page = await self._stub.ListTestCases(request)
            cases.extend(_case(entry) for entry in page.test_cases)
            token = page.next_page_token
            if not token:
                return tuple(cases)


def _case(entry: test_suite_pb2.TestCase) -> Case:
    try:
        return case_from_document(json.loads(entry.document))
    except (ValueError, RecursionError) as error:
        raise FailedPrecondition(
            f"The case {entry.case_id[:100]!r} cannot be read: {str(error)[:200]}.",
            "Run the same release of Drillyard in all services, or register the suite again.",
        ) from error
