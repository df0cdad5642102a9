"""The form of the playground: who answers, what is asked, and how tokens are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.test_runner.v1.test_run_pb2 import TestRunSpec

from services.chassis.errors import InvalidArgument
from ui.playground.actions import Subject
from ui.shared.fields import SAMPLING, FieldForm, Values
from ui.test_runs.form import REGISTERED, SERVED, sizes_shown, subject_shown

MESSAGES, CASE = "My own message", "A case of a suite"


@dataclass(frozen=True)
class PlaygroundForm:
    """The components of the form."""

    answered_by: gr.Radio
    model: gr.Dropdown
    beside: gr.Dropdown
    source: gr.Radio
    system: gr.Textbox
    message: gr.Textbox
    suite: gr.Dropdown
    case: gr.Dropdown
    prompt_size: gr.Radio
    fields: FieldForm

    def components(self) -> set[Any]:
        """Return all fields, as inputs of an event."""
        own = {value for value in vars(self).values() if value is not self.fields}
        return own | set(self.fields.components.values())

    def subject(self, values: Values) -> Subject:
        """Return who answers.

        Raises:
            InvalidArgument: Nobody is named, or a number is out of range.
        """
        if values[self.answered_by] == SERVED:
            return Subject(endpoint=self.spec(values).endpoint)
        if not values[self.model]:
            raise InvalidArgument("No model is chosen.", "Import one on the page Models.", field="model_version_id")
        return Subject(model_version_id=values[self.model])

    def spec(self, values: Values) -> TestRunSpec:
        """Return the endpoint, how tokens are chosen, and the seed.

        Raises:
            InvalidArgument: A number is out of range; the error names the field.
        """
        spec = TestRunSpec()
        self.fields.fill(spec, values, leaving_out="-" if values[self.answered_by] == SERVED else "endpoint.")
        return spec


def playground_form() -> PlaygroundForm:
    """Build the form."""
    fields = FieldForm("playground", TestRunSpec)
    answered_by = gr.Radio(
        [REGISTERED, SERVED], value=REGISTERED, label="Who answers", elem_id="playground-answered-by"
    )
    model = gr.Dropdown([], label="Model", elem_id="playground-model")
    beside = gr.Dropdown(
        [""], value="", label="Beside it", info="Another model, asked the same.", elem_id="playground-beside"
    )
    with gr.Column(visible=False) as served:
        fields.add_endpoint()
    source = gr.Radio([MESSAGES, CASE], value=MESSAGES, label="What it is asked", elem_id="playground-source")
    long: dict[str, Any] = {"max_length": 200_000}
    with gr.Column() as own:
        system = gr.Textbox(label="System prompt", lines=2, max_lines=8, elem_id="playground-system", **long)
        hint = "Which files are there?"
        message = gr.Textbox(
            label="Message", lines=3, max_lines=12, placeholder=hint, elem_id="playground-messages", **long
        )
    with gr.Column(visible=False) as of_suite:
        suite = gr.Dropdown([], label="Suite", elem_id="playground-suite")
        case = gr.Dropdown([], label="Case", elem_id="playground-case")
        size = gr.Radio(["compact", "full"], value="compact", label="Prompt", elem_id="playground-prompt-size")
    with gr.Accordion("Sampling", open=False, elem_id="playground-sampling"):
        fields.add("sampling.max_new_tokens")
        fields.add(*SAMPLING)
        fields.add("seed")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    answered_by.change(subject_shown, [answered_by], [model, served], **quiet)
    suite.change(sizes_shown, [suite, size], [size], **quiet)
    source.change(_source_shown, [source], [own, of_suite], **quiet)
    return PlaygroundForm(answered_by, model, beside, source, system, message, suite, case, size, fields)


def _source_shown(source: str) -> list[Any]:
    return [gr.Column(visible=source == MESSAGES), gr.Column(visible=source == CASE)]
