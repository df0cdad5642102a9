"""A registry in memory behind the real contract, with the model "tiny@1" and built-in suites."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drillyard.registry.v1 import dataset_pb2, model_pb2, registry_service_pb2_grpc, test_suite_pb2

from services.chassis.errors import AlreadyExists, NotFound
from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.protocols.suites.suite import parse_suite
from tests.fakes.neighbours.jobs import Gates


@dataclass
class Shelf:
    """Versions by id, numbered per name, each registered once per request id."""

    numbers: dict[str, int] = field(default_factory=dict)
    requests: dict[str, tuple[str, object]] = field(default_factory=dict)

    def register(self, request_id: str, name: str, body: object) -> str:
        """Return the version's id, the first one's for a request id that is known."""
        known = self.requests.get(request_id)
        if known is None:
            self.numbers[name] = self.numbers.get(name, 0) + 1
            known = self.requests[request_id] = (f"{name}@{self.numbers[name]}", body)
        if known[1] != body:
            raise AlreadyExists("The request_id was used before with another body.", "Use a new one.")
        return known[0]

    def resolve(self, version_id: str) -> str:
        """Return the newest version's id for a name."""
        name, _, number = version_id.partition("@")
        if not 1 <= int(number or self.numbers.get(name, 0)) <= self.numbers.get(name, 0):
            raise NotFound(f"There is no version {version_id!r}.", "List the versions to see their ids.")
        return f"{name}@{number or self.numbers[name]}"


class FakeRegistry(registry_service_pb2_grpc.RegistryServiceServicer):
    """The RPCs that a loop calls."""

    def __init__(self, gates: Gates) -> None:
        self.models, self.suites, self.datasets = Shelf(), Shelf(), Shelf()
        self.cases: dict[str, tuple[Case, ...]] = {}
        self.documents: dict[str, list[str]] = {}
        self.dataset_lines: dict[str, list[str]] = {}
        self._gates = gates
        self.models.register("import", "tiny", "")
        for suite in (*get_profile("roo_xml").suites(), *get_profile("text").suites()):
            self._keep_suite(f"built-in:{suite.suite_id}@{suite.version}", suite.suite_id, suite.text)

    async def GetModelVersion(
        self, request: model_pb2.GetModelVersionRequest, context: Any
    ) -> model_pb2.GetModelVersionResponse:
        found = self.models.resolve(request.model_version_id)
        return model_pb2.GetModelVersionResponse(model_version=model_pb2.ModelVersion(model_version_id=found))

    async def GetTestSuiteVersion(
        self, request: test_suite_pb2.GetTestSuiteVersionRequest, context: Any
    ) -> test_suite_pb2.GetTestSuiteVersionResponse:
        found = self.suites.resolve(request.test_suite_version_id)
        return test_suite_pb2.GetTestSuiteVersionResponse(test_suite_version=_suite(found, len(self.cases[found])))

    async def ListTestCases(
        self, request: test_suite_pb2.ListTestCasesRequest, context: Any
    ) -> test_suite_pb2.ListTestCasesResponse:
        lines = self.documents[self.suites.resolve(request.test_suite_version_id)]
        begin = int(request.page_token or 0)
        end = begin + min(request.page_size, 50)
        return test_suite_pb2.ListTestCasesResponse(
            test_cases=[test_suite_pb2.TestCase(document=line) for line in lines[begin:end]],
            next_page_token=str(end) if end < len(lines) else "",
        )

    async def CreateTestSuiteVersion(
        self, request: test_suite_pb2.CreateTestSuiteVersionRequest, context: Any
    ) -> test_suite_pb2.CreateTestSuiteVersionResponse:
        version_id = self._keep_suite(request.request_id, request.test_suite_id, _text(request.artifact.uri))
        await self._gates.enter(request.request_id, "answer")
        return test_suite_pb2.CreateTestSuiteVersionResponse(
            test_suite_version=_suite(version_id, len(self.cases[version_id]))
        )

    async def CreateDatasetVersion(
        self, request: dataset_pb2.CreateDatasetVersionRequest, context: Any
    ) -> dataset_pb2.CreateDatasetVersionResponse:
        text = _text(request.artifact.uri)
        version_id = self.datasets.register(request.request_id, request.dataset_id, text)
        self.dataset_lines[version_id] = text.splitlines()
        await self._gates.enter(request.request_id, "answer")
        return dataset_pb2.CreateDatasetVersionResponse(
            dataset_version=dataset_pb2.DatasetVersion(dataset_version_id=version_id)
        )

    def _keep_suite(self, request_id: str, suite_id: str, text: str) -> str:
        profile = suite_id.partition("/")[0]
        check_case = get_profile(profile).check_case
        suite = parse_suite(text, suite_id=suite_id, version=1, profile=profile, check_case=check_case)
        version_id = self.suites.register(request_id, suite_id, text)
        self.cases[version_id], self.documents[version_id] = suite.cases, text.splitlines()
        return version_id


def _suite(version_id: str, num_cases: int) -> test_suite_pb2.TestSuiteVersion:
    return test_suite_pb2.TestSuiteVersion(
        test_suite_version_id=version_id, profile_id=version_id.partition("/")[0], num_cases=num_cases
    )


def _text(uri: str) -> str:
    return Path(urlsplit(uri).path).read_text(encoding="utf-8")
