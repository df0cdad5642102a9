"""REST routes of test suites and their cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from drillyard.registry.v1 import test_suite_pb2
from fastapi import Body, Depends, Query, Response

from ui.gateway.uploads import Uploads, uploads_of
from ui.shared.documents import ClientsOf, Document, document
from ui.shared.rpc import RpcRouter
from ui.shared.schemas import shows
from ui.test_suites.actions import IMPORT_SECONDS, exported

router = RpcRouter(tags=["test suites"])
FileFormat = Literal["cases", "bfcl", "prompts"]
SuiteId = Annotated[str, Query(description="`<profile>/<name>`.", examples=["roo_xml/mine"])]
Content = Annotated[bytes, Body(media_type="application/jsonl", description="One case a line.")]


router.rpc("GET /test-suites", "registry.ListTestSuiteVersions", "List suite versions, newest first.")


@dataclass(frozen=True)
class Import:
    """How an uploaded file becomes cases."""

    file_format: Annotated[
        FileFormat,
        Query(alias="format", description="`cases`; `bfcl`, whose lines hold their `ground_truth`; or `prompts`."),
    ] = "cases"
    scorer: Annotated[str, Query(max_length=100, description="Scorer of prompts that name none.")] = ""
    threshold: Annotated[float, Query(ge=0, le=1, description="Score from which such an answer conforms.")] = 0
    skips_wrong_lines: Annotated[bool, Query(description="Leave out lines that cannot become cases.")] = False

    def conversion(self) -> test_suite_pb2.TestSuiteConversion:
        """Return the message."""
        return test_suite_pb2.TestSuiteConversion(
            format=test_suite_pb2.TestSuiteFormat.Value(f"TEST_SUITE_FORMAT_{self.file_format.upper()}"),
            scorer=self.scorer,
            threshold=self.threshold,
            skips_wrong_lines=self.skips_wrong_lines,
        )


@dataclass(frozen=True)
class NewVersion:
    """What a file is registered as, and where its cases come from."""

    test_suite_id: SuiteId
    request_id: Annotated[str, Query(max_length=200)] = ""
    licence: Annotated[str, Query(max_length=500, description="SPDX name, such as `Apache-2.0`.")] = ""
    generator: Annotated[str, Query(max_length=500, description="What made the cases, and how.")] = ""
    seed: Annotated[str, Query(max_length=500, description="What the generator was seeded with.")] = ""
    source: Annotated[str, Query(max_length=500, description="Where the cases were found.")] = ""

    def provenance(self) -> test_suite_pb2.TestSuiteProvenance:
        """Return the message."""
        return test_suite_pb2.TestSuiteProvenance(
            licence=self.licence, generator=self.generator, seed=self.seed, source=self.source
        )


@router.post("/test-suites/validate", responses=shows(test_suite_pb2.ValidateTestSuiteResponse))
async def validate_test_suite(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    test_suite_id: SuiteId,
    content: Content,
    how: Annotated[Import, Depends()],
) -> Document:
    """Say which lines of a file are wrong, at most 20 of them; nothing is registered."""
    request = test_suite_pb2.ValidateTestSuiteRequest(
        test_suite_id=test_suite_id, artifact=await uploads.keep(content), conversion=how.conversion()
    )
    return document(await clients.registry.ValidateTestSuite(request, timeout=IMPORT_SECONDS))


@router.post("/test-suites", responses=shows(test_suite_pb2.CreateTestSuiteVersionResponse))
async def create_test_suite(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    content: Content,
    version: Annotated[NewVersion, Depends()],
    how: Annotated[Import, Depends()],
) -> Document:
    """Register a suite version; a line that is not a case is refused with its number."""
    request = test_suite_pb2.CreateTestSuiteVersionRequest(
        request_id=version.request_id,
        test_suite_id=version.test_suite_id,
        artifact=await uploads.keep(content),
        produced_by="upload",
        conversion=how.conversion(),
        provenance=version.provenance(),
    )
    return document(await clients.registry.CreateTestSuiteVersion(request, timeout=IMPORT_SECONDS))


@router.get("/test-suites/{test_suite_version_id:path}/export", response_class=Response)
async def export_test_suite(clients: ClientsOf, test_suite_version_id: str) -> Response:
    """Download a suite version as JSONL, one case a line."""
    name, content = await exported(clients, test_suite_version_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="application/jsonl", headers=headers)


router.rpc(
    "GET /test-suites/{test_suite_version_id:path}/cases",
    "registry.ListTestCases",
    "List the cases of a suite version in their order.",
)
router.rpc(
    "GET /test-suites/{test_suite_version_id:path}",
    "registry.GetTestSuiteVersion",
    "Return one suite version; a suite's id alone gives its newest.",
)
