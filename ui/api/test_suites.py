"""REST routes of test suites and their cases."""

from __future__ import annotations

from typing import Annotated

from drillyard.registry.v1 import test_suite_pb2
from fastapi import APIRouter, Body, Depends, Query

from ui.actions.uploads import Uploads, uploads_of
from ui.api.documents import ClientsOf, Document, Page, document
from ui.api.schemas import shows

router = APIRouter(tags=["test suites"])


@router.get("/test-suites", responses=shows(test_suite_pb2.ListTestSuiteVersionsResponse))
async def list_test_suites(
    clients: ClientsOf,
    page: Page,
    test_suite_id: Annotated[str, Query(description="Only versions of this suite.")] = "",
    built_in_only: Annotated[bool, Query(description="Only suites that ship with the product.")] = False,
) -> Document:
    """List suite versions, newest first."""
    request = test_suite_pb2.ListTestSuiteVersionsRequest(
        test_suite_id=test_suite_id, built_in_only=built_in_only, **page
    )
    return document(await clients.registry.ListTestSuiteVersions(request))


@router.post("/test-suites", responses=shows(test_suite_pb2.CreateTestSuiteVersionResponse))
async def create_test_suite(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    test_suite_id: Annotated[str, Query(description="`<profile>/<name>`.", examples=["roo_xml/mine"])],
    content: Annotated[bytes, Body(media_type="application/jsonl", description="JSONL, one case a line.")],
    request_id: Annotated[str, Query(max_length=200)] = "",
) -> Document:
    """Register a suite version; a line that is not a case is refused with its number."""
    request = test_suite_pb2.CreateTestSuiteVersionRequest(
        request_id=request_id, test_suite_id=test_suite_id, artifact=await uploads.keep(content), produced_by="upload"
    )
    return document(await clients.registry.CreateTestSuiteVersion(request))


@router.get("/test-suites/{test_suite_version_id:path}/cases", responses=shows(test_suite_pb2.ListTestCasesResponse))
async def list_test_cases(clients: ClientsOf, page: Page, test_suite_version_id: str) -> Document:
    """List the cases of a suite version in their order."""
    request = test_suite_pb2.ListTestCasesRequest(test_suite_version_id=test_suite_version_id, **page)
    return document(await clients.registry.ListTestCases(request))


@router.get("/test-suites/{test_suite_version_id:path}", responses=shows(test_suite_pb2.GetTestSuiteVersionResponse))
async def get_test_suite(clients: ClientsOf, test_suite_version_id: str) -> Document:
    """Return one suite version; a suite's id alone gives its newest."""
    request = test_suite_pb2.GetTestSuiteVersionRequest(test_suite_version_id=test_suite_version_id)
    return document(await clients.registry.GetTestSuiteVersion(request))
