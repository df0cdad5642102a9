"""The form that starts a run: what most people set in front, everything else folded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.test_runner.v1.test_run_pb2 import TestRunSpec

from services.chassis.errors import InvalidArgument
from services.protocols.profile import UnknownProfile, get_profile
from ui.shared.fields import LONGEST, SAMPLING, EndpointFields, Row, endpoint_fields, filled, number_fields, values

REGISTERED, SERVED = "A registered model", "A served model"
FASTEST = "fastest"

_COUNTS: tuple[Row, ...] = (("num_repeats", 1, "Answers per case", 0, ""), ("seed", 0, "Seed", 0, ""))
_LIMITS: tuple[Row, ...] = (
    ("case_timeout_seconds", 0, "Seconds per case", None, "0: 600."),
    ("run_timeout_seconds", 0, "Seconds for the run", None, "0: no limit."),
)


@dataclass(frozen=True)
class RunForm:
    """The components of the form."""

    answered_by: gr.Radio
    model: gr.Dropdown
    endpoint: EndpointFields
    suite: gr.Dropdown
    prompt_size: gr.Radio
    sampling: Mapping[str, gr.Number]
    counts: Mapping[str, gr.Number]
    limits: Mapping[str, gr.Number]
    dtype: gr.Radio
    switches: Mapping[str, gr.Checkbox]
    start: gr.Button

    def components(self) -> set[Any]:
        """Return all fields, as inputs of an event."""
        named = {self.answered_by, self.model, self.suite, self.prompt_size, self.dtype}
        tables = (self.sampling, self.counts, self.limits, self.switches)
        return named | self.endpoint.components() | {one for table in tables for one in table.values()}

    def spec(self, given: Mapping[Any, Any]) -> TestRunSpec:
        """Return what a person asks for.

        Raises:
            InvalidArgument: Something is missing or out of range; the error names the field.
        """
        if not given[self.suite]:
            raise InvalidArgument("No suite is chosen.", "Choose one.", field="spec.test_suite_version_id")
        spec = TestRunSpec(test_suite_version_id=given[self.suite], prompt_size=given[self.prompt_size])
        self._fill_subject(spec, given)
        filled(spec.sampling, "spec.sampling.", **values(self.sampling, given))
        filled(spec, "spec.", **values({**self.counts, **self.limits, **self.switches}, given))
        spec.dtype = "" if given[self.dtype] == FASTEST else given[self.dtype]
        return spec

    def _fill_subject(self, spec: TestRunSpec, given: Mapping[Any, Any]) -> None:
        if given[self.answered_by] == SERVED:
            spec.endpoint.CopyFrom(self.endpoint.read(given, "spec."))
        elif given[self.model]:
            spec.model_version_id = given[self.model]
        else:
            raise InvalidArgument(
                "No model is chosen.",
                "Import one on the page Models, or test a served model.",
                field="spec.model_version_id",
            )


def run_form() -> RunForm:
    """Build the form."""
    with gr.Column(elem_classes="dy-form"):
        who = gr.Radio([REGISTERED, SERVED], value=REGISTERED, label="Who answers", elem_id="test-answered-by")
        model = gr.Dropdown([], label="Model", elem_id="test-model")
        with gr.Column(visible=False, elem_id="test-endpoint") as served:
            endpoint = endpoint_fields("test")
        suite = gr.Dropdown([], label="Suite", elem_id="test-suite")
        size = gr.Radio(["compact", "full"], value="compact", label="Prompt", elem_id="test-prompt-size")
        with gr.Accordion("Sampling", open=False, elem_id="test-sampling"):
            sampling = number_fields("test", (LONGEST,)) | number_fields("test", SAMPLING)
            counts = number_fields("test", _COUNTS)
        with gr.Accordion("Time and speed", open=False, elem_id="test-running"):
            limits = number_fields("test", _LIMITS)
            dtype = gr.Radio(
                [FASTEST, "bfloat16", "float32"], value=FASTEST, label="Number format", elem_id="test-dtype"
            )
            switches = {
                "throughput": gr.Checkbox(
                    label="As fast as possible",
                    info="Lifts the fixed batch plan: single answers may then differ between runs.",
                    elem_id="test-throughput",
                ),
                "log_probs": gr.Checkbox(label="Keep log-probabilities of all tokens", elem_id="test-log-probs"),
            }
        start = gr.Button("Start the test", variant="primary", elem_id="test-start")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    who.change(_shown, [who], [model, served], **quiet)
    suite.change(_sizes, [suite, size], [size], **quiet)
    return RunForm(who, model, endpoint, suite, size, sampling, counts, limits, dtype, switches, start)


def _shown(who: str) -> list[Any]:
    return [gr.Dropdown(visible=who == REGISTERED), gr.Column(visible=who == SERVED)]


def _sizes(suite: str | None, chosen: str) -> Any:
    """Return the prompt sizes that the suite's protocol has."""
    try:
        sizes = get_profile((suite or "").partition("/")[0]).prompt_sizes
    except UnknownProfile:
        return gr.skip()
    return gr.Radio(choices=list(sizes), value=chosen if chosen in sizes else sizes[0], visible=len(sizes) > 1)
