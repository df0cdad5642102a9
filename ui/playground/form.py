"""The form of the page Try: who answers, what is asked, and how tokens are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.test_runner.v1.test_run_pb2 import Sampling

from services.chassis.errors import InvalidArgument
from ui.playground.actions import Subject
from ui.shared.fields import LONGEST, SAMPLING, EndpointFields, endpoint_fields, filled, number_fields, values
from ui.test_runs.form import REGISTERED, SERVED

MESSAGES, CASE = "My own message", "A case of a suite"


@dataclass(frozen=True)
class TryForm:
    """The components of the form."""

    who: gr.Radio
    model: gr.Dropdown
    endpoint: EndpointFields
    source: gr.Radio
    own: gr.Column
    system: gr.Textbox
    message: gr.Textbox
    of_suite: gr.Column
    suite: gr.Dropdown
    case: gr.Dropdown
    prompt_size: gr.Radio
    sampling: Mapping[str, gr.Number]
    seed: gr.Number

    def components(self) -> set[Any]:
        """Return all fields, as inputs of an event."""
        named = {self.who, self.model, self.source, self.system, self.message, self.suite, self.case, self.prompt_size}
        return named | self.endpoint.components() | set(self.sampling.values()) | {self.seed}

    def subject(self, given: Mapping[Any, Any]) -> Subject:
        """Return who answers.

        Raises:
            InvalidArgument: Nobody is named, or a number is out of range.
        """
        if given[self.who] == SERVED:
            return Subject(endpoint=self.endpoint.read(given))
        if not given[self.model]:
            raise InvalidArgument("No model is chosen.", "Import one on the page Models.", field="model_version_id")
        return Subject(model_version_id=given[self.model])

    def choosing(self, given: Mapping[Any, Any]) -> tuple[Sampling, int]:
        """Return how tokens are chosen, and the seed.

        Raises:
            InvalidArgument: A number is out of range; the error names the field.
        """
        sampling = Sampling()
        filled(sampling, "sampling.", **values(self.sampling, given))
        return sampling, int(given[self.seed] or 0)


def try_form() -> TryForm:
    """Build the form."""
    who = gr.Radio([REGISTERED, SERVED], value=REGISTERED, label="Who answers", elem_id="try-answered-by")
    model = gr.Dropdown([], label="Model", elem_id="try-model")
    with gr.Column(visible=False) as served:
        endpoint = endpoint_fields("try")
    source = gr.Radio([MESSAGES, CASE], value=MESSAGES, label="What it is asked", elem_id="try-source")
    with gr.Column() as own:
        system = gr.Textbox(label="System prompt", lines=2, max_lines=8, max_length=200_000, elem_id="try-system")
        message = gr.Textbox(
            label="Message",
            lines=3,
            max_lines=12,
            max_length=200_000,
            placeholder="Which files are there?",
            elem_id="try-messages",
        )
    with gr.Column(visible=False) as of_suite:
        suite = gr.Dropdown([], label="Suite", elem_id="try-suite")
        case = gr.Dropdown([], label="Case", elem_id="try-case")
        size = gr.Radio(["compact", "full"], value="compact", label="Prompt", elem_id="try-prompt-size")
    with gr.Accordion("Sampling", open=False, elem_id="try-sampling"):
        sampling = number_fields("try", (LONGEST,)) | number_fields("try", SAMPLING)
        seed = number_fields("try", (("seed", 0, "Seed", 0, ""),))["seed"]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    who.change(_subject_shown, [who], [model, served], **quiet)
    source.change(_source_shown, [source], [own, of_suite], **quiet)
    return TryForm(who, model, endpoint, source, own, system, message, of_suite, suite, case, size, sampling, seed)


def _subject_shown(who: str) -> list[Any]:
    return [gr.Dropdown(visible=who == REGISTERED), gr.Column(visible=who == SERVED)]


def _source_shown(source: str) -> list[Any]:
    return [gr.Column(visible=source == MESSAGES), gr.Column(visible=source == CASE)]
