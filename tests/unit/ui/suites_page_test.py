"""The page of test suites: what it shows of a suite and of its cases."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.registry.v1 import test_suite_pb2
from drillyard.registry.v1.artifact_pb2 import Artifact

from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from services.protocols.suites.suite import Suite
from ui.loops.page import newest_version
from ui.models.actions import read_suites
from ui.shared.cache import ServiceCache
from ui.test_suites.actions import exported, read_case, read_suite
from ui.test_suites.form import import_form
from ui.test_suites.page import ALL, NUM_SHOWN, _Page

CORE = next(one for one in get_profile("roo_xml").suites() if (one.suite_id, one.version) == ("roo_xml/core", 2))
NAME = "roo_xml/core@2"


class _Registry:
    """Answers from one suite, a page of 100 cases at a time."""

    def __init__(self, suite: Suite) -> None:
        self.cases = [
            test_suite_pb2.TestCase(
                case_id=one.case_id,
                category=one.category,
                tool=one.tool,
                document=json.dumps(case_to_document(one), ensure_ascii=False),
            )
            for one in suite.cases
        ]
        self.version = test_suite_pb2.TestSuiteVersion(
            test_suite_version_id=NAME,
            num_cases=len(self.cases),
            built_in=True,
            artifact=Artifact(digest=suite.digest),
            provenance=test_suite_pb2.TestSuiteProvenance(**suite.provenance.to_document()),
        )

    async def GetTestSuiteVersion(self, request: Any) -> Any:
        return test_suite_pb2.GetTestSuiteVersionResponse(test_suite_version=self.version)

    async def ListTestSuiteVersions(self, request: Any) -> Any:
        others = [
            test_suite_pb2.TestSuiteVersion(test_suite_version_id=name, built_in=name.startswith("roo"))
            for name in ("mine/new@3", "roo_xml/smoke@1", "roo_xml/core@1")
        ]
        return test_suite_pb2.ListTestSuiteVersionsResponse(test_suite_versions=[self.version, *others])

    async def ListTestCases(self, request: Any) -> Any:
        start = int(request.page_token or 0)
        token = str(start + 100) if start + 100 < len(self.cases) else ""
        return test_suite_pb2.ListTestCasesResponse(test_cases=self.cases[start : start + 100], next_page_token=token)


@pytest.fixture
def clients() -> Iterator[Any]:
    yield SimpleNamespace(registry=_Registry(CORE))


@pytest.fixture
async def page(clients: Any) -> _Page:
    app: Any = SimpleNamespace(state=SimpleNamespace(clients=clients))
    with gr.Blocks():
        return _Page(ServiceCache(app), import_form())


async def test_a_suite_tells_its_origin_and_counts_its_cases(clients: Any) -> None:
    suite = await read_suite(clients, NAME)
    assert (suite.num_cases, len(suite.cases), len(suite.by_category), len(suite.by_tool)) == (308, 308, 14, 13)
    assert suite.facts["Licence"] == "Apache-2.0"
    assert suite.facts["Seed"] == "2"
    assert "Source" not in suite.facts
    assert {case.tool for case in suite.chosen("mcp", "")} == {"use_mcp_tool"}
    assert len(suite.chosen("", "read_file")) == suite.by_tool["read_file"]


async def test_a_suite_is_downloaded_line_by_line_as_it_is_stored(clients: Any) -> None:
    name, content = await exported(clients, NAME)
    assert (name, content.decode()) == ("roo_xml-core-2.jsonl", CORE.text)


async def test_a_case_of_several_turns_shows_every_answer(clients: Any) -> None:
    several = next(case for case in CORE.cases if case.solution)
    view = await read_case(clients, NAME, several.case_id)
    assert view is not None
    assert list(view.reference) == [answer.text for answer in several.solution]
    assert json.loads(view.document)["task"] == view.task == several.task
    assert await read_case(clients, NAME, "nobody") is None


async def test_the_first_version_of_the_core_suite_is_offered_first(clients: Any) -> None:
    listed = [one.test_suite_version_id for one in await read_suites(clients)]
    assert listed == ["roo_xml/core@1", NAME, "roo_xml/smoke@1", "mine/new@3"]


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (["roo_xml/core@1", "roo_xml/smoke@3", "roo_xml/core@9", "roo_xml/core@10"], "roo_xml/core@10"),
        ([], ""),
    ],
)
def test_a_loop_begins_with_the_newest_version_of_the_suite_that_is_offered_first(
    offered: list[str], expected: str
) -> None:
    assert newest_version(offered) == expected


async def test_the_page_shows_a_suite_its_cases_and_one_case(page: _Page) -> None:
    first = CORE.cases[0]
    suites, suite, cases, case, *_ = await page.refresh(NAME, first.case_id, 0, ALL, ALL, {})
    assert f'data-select="{NAME}"' in suites
    assert "Apache-2.0" in suite and CORE.digest in suite
    assert f"/api/v1/test-suites/{NAME.replace('@', '%40')}/export" in suite
    assert f"1 to {NUM_SHOWN} of 308" in cases
    assert f'<h2 class="mono">{first.case_id}</h2>' in case
    assert "What a right answer holds" in case
    assert "An answer that conforms" in case


async def test_the_cases_are_turned_page_by_page(page: _Page) -> None:
    _, _, cases, *_ = await page.refresh(NAME, "", 300, ALL, ALL, {})
    assert "301 to 308 of 308" in cases
    assert "page:next" not in cases
    event = gr.EventData(None, {})
    event._data = {"value": "page:next"}
    assert page.choose_case("c", 0, event) == ["c", NUM_SHOWN]
    event._data = {"value": "page:previous"}
    assert page.choose_case("c", 10, event) == ["c", 0]


async def test_a_case_with_history_and_files_shows_them(clients: Any) -> None:
    several = next(case for case in CORE.cases if case.history and case.files)
    view = await read_case(clients, NAME, several.case_id)
    assert view is not None
    assert list(view.history) == [answer.text for answer in several.history]
    assert dict(view.files) == dict(several.files)


async def test_filters_leave_the_cases_of_a_category(page: _Page) -> None:
    _, _, cases, *_ = await page.refresh(NAME, "", 0, "mcp", ALL, {})
    shown = [case.case_id for case in CORE.cases if f'data-select="{case.case_id}"' in cases]
    assert shown == [case.case_id for case in CORE.cases if case.category.startswith("mcp.")]


async def test_nothing_is_sent_twice(page: _Page) -> None:
    shown: dict[str, int] = {}
    await page.refresh(NAME, "", 0, ALL, ALL, shown)
    again = await page.refresh(NAME, "", 0, ALL, ALL, shown)
    assert all(isinstance(update, dict) and update.get("__type__") == "update" for update in again[:7])
