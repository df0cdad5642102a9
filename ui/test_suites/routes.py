"""REST routes of test suites and their cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from drillyard.registry.v1 import test_suite_pb2
from drillyard.registry.v1.test_suite_pb2 import TestSuiteProvenance
from fastapi import Body, Depends, Query, Response

from ui.gateway.uploads import Uploads, uploads_of
from ui.shared.dependants import deleting
from ui.shared.documents import ClientsOf, Document, document
from ui.shared.rpc import RpcRouter
from ui.shared.schemas import shows
from ui.test_suites.actions import NewSuite, check_suite, conversion_of, exported, register_suite

router = RpcRouter(tags=["test suites"])
_ORIGIN = ("licence", "generator", "seed", "source")
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


@dataclass(frozen=True)
class NewVersion:
    """What a file is registered as, and where its cases come from."""

    test_suite_id: SuiteId
    request_id: Annotated[str, Query(max_length=200)] = ""
    licence: Annotated[str, Query(max_length=500, description="SPDX name, such as `Apache-2.0`.")] = ""
    generator: Annotated[str, Query(max_length=500, description="What made the cases, and how.")] = ""
    seed: Annotated[str, Query(max_length=500, description="What the generator was seeded with.")] = ""
    source: Annotated[str, Query(max_length=500, description="Where the cases were found.")] = ""


def _new(content: bytes, how: Import, test_suite_id: str, version: NewVersion | None = None) -> NewSuite:
    settings = vars(how).copy()
    origin = {name: value for name, value in vars(version).items() if name in _ORIGIN} if version else {}
    return NewSuite(
        test_suite_id,
        content,
        conversion_of(settings.pop("file_format"), **settings),
        TestSuiteProvenance(**origin),
        version.request_id if version else "",
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
    return document(await check_suite(clients, uploads, _new(content, how, test_suite_id)))


@router.post("/test-suites", responses=shows(test_suite_pb2.CreateTestSuiteVersionResponse))
async def create_test_suite(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    content: Content,
    version: Annotated[NewVersion, Depends()],
    how: Annotated[Import, Depends()],
) -> Document:
    """Register a suite version; a line that is not a case is refused with its number."""
    return document(await register_suite(clients, uploads, _new(content, how, version.test_suite_id, version)))


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
    "DELETE /test-suites/{test_suite_version_id:path}",
    "registry.DeleteTestSuiteVersion",
    "Delete one suite version; refused while a run or a loop refers to it.",
    action=deleting(lambda clients: clients.registry.DeleteTestSuiteVersion),
)
router.rpc(
    "GET /test-suites/{test_suite_version_id:path}",
    "registry.GetTestSuiteVersion",
    "Return one suite version; a suite's id alone gives its newest.",
)
