"""The form that starts a run: what most people set in front, everything else folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.test_runner.v1.test_run_pb2 import TestRunSpec

from services.chassis.errors import InvalidArgument
from ui.shared import parts
from ui.shared.fields import SAMPLING, FieldForm, Values

REGISTERED, SERVED = "A registered model", "A served model"
FASTEST = "fastest"


@dataclass(frozen=True)
class RunForm:
    """The components of the form."""

    answered_by: gr.Radio
    model: gr.Dropdown
    suite: gr.Dropdown
    prompt_size: gr.Radio
    dtype: gr.Radio
    fields: FieldForm
    start: gr.Button

    def components(self) -> set[Any]:
        """Return all fields, as inputs of an event."""
        own = {self.answered_by, self.model, self.suite, self.prompt_size, self.dtype}
        return own | set(self.fields.components.values())

    def spec(self, values: Values) -> TestRunSpec:
        """Return what a person asks for.

        Raises:
            InvalidArgument: Something is missing or out of range; the error names the field.
        """
        if not values[self.suite]:
            raise InvalidArgument("No suite is chosen.", "Choose one.", field="spec.test_suite_version_id")
        spec = TestRunSpec(test_suite_version_id=values[self.suite], prompt_size=values[self.prompt_size])
        is_served = values[self.answered_by] == SERVED
        if not is_served and not values[self.model]:
            next_step = "Import one on the page Models, or test a served model."
            raise InvalidArgument("No model is chosen.", next_step, field="spec.model_version_id")
        self.fields.fill(spec, values, "spec.", "-" if is_served else "endpoint.")
        spec.model_version_id = "" if is_served else values[self.model]
        spec.dtype = "" if values[self.dtype] == FASTEST else values[self.dtype]
        return spec


def run_form() -> RunForm:
    """Build the form."""
    fields = FieldForm("test", TestRunSpec)
    with gr.Column(elem_classes="dy-form"):
        answered_by = gr.Radio([REGISTERED, SERVED], value=REGISTERED, label="Who answers", elem_id="test-answered-by")
        model = gr.Dropdown([], label="Model", elem_id="test-model")
        with gr.Column(visible=False, elem_id="test-endpoint") as served:
            fields.add_endpoint()
        suite = gr.Dropdown([], label="Suite", elem_id="test-suite")
        size = gr.Radio(["compact", "full"], value="compact", label="Prompt", elem_id="test-prompt-size")
        with gr.Accordion("Sampling", open=False, elem_id="test-sampling"):
            fields.add("sampling.max_new_tokens")
            fields.add(*SAMPLING, "num_repeats", "seed")
        with gr.Accordion("Time and speed", open=False, elem_id="test-running"):
            fields.add("case_timeout_seconds", "run_timeout_seconds")
            dtype = gr.Radio(
                [FASTEST, "bfloat16", "float32"], value=FASTEST, label="Number format", elem_id="test-dtype"
            )
            for name in ("throughput", "log_probs"):
                fields.add(name)
        start = gr.Button("Start the test", variant="primary", elem_id="test-start")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    answered_by.change(subject_shown, [answered_by], [model, served], **quiet)
    suite.change(sizes_shown, [suite, size], [size], **quiet)
    return RunForm(answered_by, model, suite, size, dtype, fields, start)


def subject_shown(answered_by: str) -> list[Any]:
    """Return the updates that show the fields of who answers."""
    return [gr.Dropdown(visible=answered_by == REGISTERED), gr.Column(visible=answered_by == SERVED)]


def sizes_shown(suite: str | None, chosen: str) -> Any:
    """Return the update that offers the prompt sizes of the suite's protocol."""
    return parts.prompt_sizes((suite or "").partition("/")[0], chosen)
