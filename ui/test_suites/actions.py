"""Reading test suites and their cases, and registering new ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from drillyard.registry.v1 import test_suite_pb2

from ui.gateway.clients import Clients, every
from ui.gateway.uploads import Uploads
from ui.test_suites.views import (
    CaseView,
    SuiteCheckView,
    SuiteDetailView,
    case_view,
    suite_check_view,
    suite_detail_view,
)

IMPORT_SECONDS = 140.0
"""For a large file: every case is checked, and its reference judged."""


async def read_suite(clients: Clients, test_suite_version_id: str) -> SuiteDetailView:
    """Return a suite version and what its cases are about."""
    request = test_suite_pb2.GetTestSuiteVersionRequest(test_suite_version_id=test_suite_version_id)
    version = (await clients.registry.GetTestSuiteVersion(request)).test_suite_version
    return suite_detail_view(version, await _cases(clients, version.test_suite_version_id))


async def read_case(clients: Clients, test_suite_version_id: str, case_id: str) -> CaseView | None:
    """Return one case of a suite version, or None."""
    cases = await _cases(clients, test_suite_version_id)
    return next((case_view(case) for case in cases if case.case_id == case_id), None)


async def exported(clients: Clients, test_suite_version_id: str) -> tuple[str, bytes]:
    """Return a file name and the lines of a suite version."""
    request = test_suite_pb2.GetTestSuiteVersionRequest(test_suite_version_id=test_suite_version_id)
    name = (await clients.registry.GetTestSuiteVersion(request)).test_suite_version.test_suite_version_id
    lines = "".join(f"{case.document}\n" for case in await _cases(clients, name))
    return f"{name.replace('/', '-').replace('@', '-')}.jsonl", lines.encode()


@dataclass(frozen=True)
class NewSuite:
    """A file that is to become a suite version; `file_format` is cases, bfcl or prompts."""

    test_suite_id: str
    content: bytes
    file_format: str = "cases"
    skips_wrong_lines: bool = False
    scorer: str = ""
    threshold: float = 0.0
    provenance: test_suite_pb2.TestSuiteProvenance = field(default_factory=test_suite_pb2.TestSuiteProvenance)

    def conversion(self) -> test_suite_pb2.TestSuiteConversion:
        """Return how the lines become cases."""
        return test_suite_pb2.TestSuiteConversion(
            format=test_suite_pb2.TestSuiteFormat.Value(f"TEST_SUITE_FORMAT_{self.file_format.upper()}"),
            skips_wrong_lines=self.skips_wrong_lines,
            scorer=self.scorer,
            threshold=self.threshold,
        )


async def check_suite(clients: Clients, uploads: Uploads, new: NewSuite) -> SuiteCheckView:
    """Return which lines of a file are not cases; nothing of it is registered."""
    request = test_suite_pb2.ValidateTestSuiteRequest(
        test_suite_id=new.test_suite_id, artifact=await uploads.keep(new.content), conversion=new.conversion()
    )
    return suite_check_view(await clients.registry.ValidateTestSuite(request, timeout=IMPORT_SECONDS))


async def register_suite(clients: Clients, uploads: Uploads, new: NewSuite) -> str:
    """Register a suite version and return its id.

    Raises:
        InvalidArgument: A line is not a case; the error names it.
    """
    request = test_suite_pb2.CreateTestSuiteVersionRequest(
        test_suite_id=new.test_suite_id,
        artifact=await uploads.keep(new.content),
        produced_by="upload",
        conversion=new.conversion(),
        provenance=new.provenance,
    )
    test_suite_version = (
        await clients.registry.CreateTestSuiteVersion(request, timeout=IMPORT_SECONDS)
    ).test_suite_version
    return str(test_suite_version.test_suite_version_id)


async def _cases(clients: Clients, test_suite_version_id: str) -> list[test_suite_pb2.TestCase]:
    request = test_suite_pb2.ListTestCasesRequest(test_suite_version_id=test_suite_version_id)
    return await every(clients.registry.ListTestCases, request, "test_cases", limit=1_000_000)
