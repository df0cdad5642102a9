"""What forms ask the services for, and where their errors are shown."""

import re
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.feedback.v1.schedule_pb2 import ScheduleSpec
from drillyard.job.v1.job_pb2 import Job, JobState
from drillyard.registry.v1.test_suite_pb2 import TestSuiteFormat
from drillyard.test_runner.v1.test_run_pb2 import Endpoint, Sampling, TestRun, TestRunSpec, ToolMode

from services.chassis.errors import InvalidArgument
from ui.evaluations.feedback.box import FeedbackBox
from ui.playground.form import CASE, PlaygroundForm, playground_form
from ui.shared.cache import ServiceCache, field_id, notice
from ui.shared.environment import render
from ui.shared.fields import FieldForm
from ui.test_runs import views as test_runs
from ui.test_runs.actions import VerdictFilters
from ui.test_runs.filters import verdict_filters
from ui.test_runs.form import SERVED, RunForm, run_form
from ui.test_runs.page import _Page
from ui.test_suites.form import ImportForm, import_form


def _built(build: Any) -> Any:
    # The framework asks for the running event loop, and leaves one behind where there is none.
    with gr.Blocks():
        return build()


def _given(form: Any, **changed: Any) -> dict[Any, Any]:
    given = {component: getattr(component, "value", None) for component in form.components()}
    named = {component.elem_id: component for component in given}
    given |= {named[name.replace("_", "-")]: value for name, value in changed.items()}
    return given


def _run_form() -> RunForm:
    form: RunForm = _built(run_form)
    return form


async def test_a_run_of_a_registered_model_says_nothing_of_an_endpoint() -> None:
    form = _run_form()
    spec = form.spec(_given(form, test_model="m@1", test_suite="s/c@1", test_min_p=0.1, test_num_repeats=3))
    assert not spec.HasField("endpoint")
    assert (spec.model_version_id, spec.num_repeats, spec.sampling.max_new_tokens) == ("m@1", 3, 192)
    assert spec.sampling.min_p == pytest.approx(0.1)
    assert spec.dtype == ""


async def test_a_run_of_a_served_model_carries_every_setting() -> None:
    form = _run_form()
    given = _given(
        form,
        test_answered_by=SERVED,
        test_suite="s/c@1",
        test_endpoint_base_url=" http://box/v1 ",
        test_endpoint_model="q",
        test_endpoint_tool_mode="TOOL_MODE_PROMPT",
        test_endpoint_stop="END\n\\n\\n",
        test_endpoint_max_concurrency=2,
        test_throughput=True,
        test_log_probs=True,
        test_run_timeout_seconds=60,
        test_dtype="float32",
    )
    spec = form.spec(given)
    assert (spec.endpoint.base_url, spec.endpoint.model) == ("http://box/v1", "q")
    assert spec.endpoint.tool_mode == ToolMode.TOOL_MODE_PROMPT
    assert list(spec.endpoint.stop) == ["END", "\n\n"]
    assert (spec.endpoint.max_concurrency, spec.throughput, spec.log_probs) == (2, True, True)
    assert (spec.model_version_id, spec.dtype, spec.run_timeout_seconds) == ("", "float32", 60)


async def test_every_setting_of_a_run_has_a_field() -> None:
    form = _run_form()
    found = {str(component.elem_id).removeprefix("test-") for component in form.components()}
    renamed = {"model-version-id": "model", "test-suite-version-id": "suite"}
    spec = [one.name.replace("_", "-") for one in TestRunSpec.DESCRIPTOR.fields]
    wire = {renamed.get(one, one) for one in spec} | {one.name.replace("_", "-") for one in Sampling.DESCRIPTOR.fields}
    wire |= {f"endpoint-{one.name.replace('_', '-')}" for one in Endpoint.DESCRIPTOR.fields}
    # A run is repeated, and finished, by buttons of their own.
    assert wire - {"sampling", "endpoint", "repeat-of-test-run-id", "keep-answers"} <= found


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"test_suite": None}, "spec.test_suite_version_id"),
        ({"test_model": None}, "spec.model_version_id"),
        ({"test_top_k": 10**12}, "spec.sampling.top_k"),
        ({"test_seed": 10**30}, "spec.seed"),
        ({"test_answered_by": SERVED, "test_endpoint_num_ctx": -(10**20)}, "spec.endpoint.num_ctx"),
    ],
)
async def test_what_cannot_be_asked_for_names_its_field(changed: dict[str, Any], field: str) -> None:
    form = _run_form()
    with pytest.raises(InvalidArgument) as raised:
        form.spec(_given(form, **{"test_model": "m@1", "test_suite": "s/c@1", **changed}))
    assert raised.value.fields["field"] == field


async def test_an_emptied_field_leaves_the_default() -> None:
    def build() -> FieldForm:
        fields = FieldForm("test", TestRunSpec)
        fields.add("sampling.temperature", "sampling.top_k")
        return fields

    fields, spec = _built(build), TestRunSpec()
    fields.fill(spec, dict.fromkeys(fields.components.values()))
    assert spec == TestRunSpec()


@pytest.mark.parametrize(
    ("field", "element"),
    [
        ("spec.sampling.min_p", "test-min-p"),
        ("spec.endpoint.model", "test-endpoint-model"),
        ("spec.endpoint.stop", "test-endpoint-stop"),
        ("spec.model_version_id", "test-model"),
        ("messages[3].role", "test-messages"),
        ("", ""),
    ],
)
def test_an_error_is_shown_beside_the_element_of_its_field(field: str, element: str) -> None:
    assert field_id("test", field) == element


async def test_every_field_of_the_form_is_where_errors_look_for_it() -> None:
    form = _run_form()
    ids = {component.elem_id for component in form.components()}
    for field in ("spec.sampling.top_p", "spec.endpoint.extra_body", "spec.case_timeout_seconds", "spec.dtype"):
        assert field_id("test", field) in ids


def test_a_sentence_beside_a_field_does_not_repeat_its_name_on_the_wire() -> None:
    html = notice(InvalidArgument("spec.sampling.min_p is 7.", "Use 0 to 1.", field="spec.sampling.min_p"), "test")
    assert "spec." not in html.replace('data-blames="test-min-p"', "")
    assert "Min p is 7." in html


def test_filters_turn_into_what_the_evaluator_asks_for() -> None:
    assert verdict_filters(["all", "edit", "effect", "conforms"]) == VerdictFilters("", "none", "effect", "edit")


def _page() -> _Page:
    app: Any = SimpleNamespace(state=SimpleNamespace(clients=None))
    cache = ServiceCache(app)
    with gr.Blocks():
        return _Page(cache, _run_form(), FeedbackBox(cache))


def _clicked(value: str) -> gr.EventData:
    event = gr.EventData(None, {})
    event._data = {"value": value}
    return event


async def test_pages_of_verdicts_are_turned_forth_and_back() -> None:
    page = _page()
    assert page.choose_verdict("t", [""], _clicked("page:next 50")) == ["t", ["", "50"]]
    assert page.choose_verdict("t", ["", "50"], _clicked("page:previous")) == ["t", [""]]
    assert page.choose_verdict("t", [""], _clicked("page:previous")) == ["t", [""]]
    assert page.choose_verdict("t", ["", "50"], _clicked("run/1")) == ["run/1", ["", "50"]]


async def test_an_import_needs_a_file_and_passes_its_format_on() -> None:
    form: ImportForm = _built(import_form)
    with pytest.raises(InvalidArgument, match="no file"):
        form.read(_given(form))
    given = _given(form, suite_file=b"{}", suite_format="BFCL function calls", suite_licence=" MIT ")
    new = form.read(given)
    assert new.conversion.format == TestSuiteFormat.TEST_SUITE_FORMAT_BFCL
    assert new.provenance.licence == "MIT"


async def test_the_playground_asks_a_model_or_an_endpoint() -> None:
    form: PlaygroundForm = _built(playground_form)
    assert form.subject(_given(form, playground_model="m@1")).model_version_id == "m@1"
    served = form.subject(_given(form, playground_answered_by=SERVED, playground_endpoint_base_url="http://b/v1"))
    assert served.endpoint is not None
    with pytest.raises(InvalidArgument, match="No model"):
        form.subject(_given(form, playground_source=CASE))
    spec = form.spec(_given(form, playground_temperature=0.5, playground_seed=None))
    assert (spec.sampling.temperature, spec.seed) == (0.5, 0)


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("queued", {"pause", "cancel"}),
        ("running", {"pause", "cancel"}),
        ("pausing", {"cancel"}),
        ("paused", {"resume", "cancel"}),
        ("cancelling", set()),
        ("succeeded", {"repeat", "judge", "delete"}),
        ("failed", {"repeat", "judge", "delete"}),
    ],
)
def test_a_run_offers_what_its_state_allows(state: str, offered: set[str]) -> None:
    job = Job(state=JobState.Value(f"JOB_STATE_{state.upper()}"))
    html = render("test_runs/actions", run=test_runs.test_run_view(TestRun(test_run_id="r", job=job)))
    assert set(re.findall(r'data-select="(\w+)"', html)) == offered


async def test_a_form_names_other_fields_by_their_labels() -> None:
    def build() -> FieldForm:
        fields = FieldForm("schedule", ScheduleSpec)
        fields.add("daily_time", "time_zone")
        return fields

    components = _built(build).components
    assert "“Every”" in components["daily_time"].info
    assert "“Daily at”" in components["time_zone"].info
