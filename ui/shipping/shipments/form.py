"""The form that starts a shipment: what most people set in front, everything else folded."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.feedback.v1.shipment_pb2 import ShipmentSpec
from drillyard.registry.v1.export_pb2 import ExportSpec
from google.protobuf.json_format import ParseDict

from services.chassis.errors import InvalidArgument
from ui.models.exports.box import PLACES
from ui.models.exports.forms import CHOICES, form_fields
from ui.models.exports.place import PlaceForm
from ui.shared.fields import FieldForm, Values, text_of
from ui.test_runs.form import sizes_shown

_MARGINS = ("num_rows", "max_rate_loss", "max_log_prob_difference", "max_new_tokens")
_FORM = ("model_id", "profile_id", "num_ctx", "renderer", "parser")


class ShipmentForm:
    """The components, and what they say."""

    def __init__(self) -> None:
        self._fields = FieldForm("shipment", ShipmentSpec)
        with gr.Column(elem_classes="dy-form"):
            self.model = gr.Dropdown([], label="Model", elem_id="shipment-model")
            self.suite = gr.Dropdown([], label="Suite", elem_id="shipment-suite")
            self._size = gr.Radio(["compact", "full"], value="compact", label="Prompt", elem_id="shipment-prompt-size")
            self._form = gr.Dropdown(
                CHOICES, value=CHOICES[0][1], label="Form", allow_custom_value=True, elem_id="shipment-form"
            )
            with gr.Accordion("Settings of the form", open=False, elem_id="shipment-settings"):
                for name in _FORM:
                    self._fields.add(f"export.{name}")
            self._place = PlaceForm("shipment", "Destination", f"Such as {PLACES}; empty only proves the form.")
            with gr.Accordion("Margins", open=False, elem_id="shipment-margins"):
                self._fields.add(*_MARGINS)
            with gr.Accordion("The form is served already", open=False, elem_id="shipment-endpoint"):
                self._fields.add_endpoint()
            self.start = gr.Button("Ship", variant="primary", elem_id="shipment-start")
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.suite.change(sizes_shown, [self.suite, self._size], [self._size], **quiet)

    def components(self) -> set[Any]:
        """Return what `spec` needs the values of."""
        own = {self.model, self.suite, self._size, self._form}
        return own | self._place.components() | set(self._fields.components.values())

    def spec(self, values: Values) -> ShipmentSpec:
        """Return what the form says.

        Raises:
            InvalidArgument: Something is missing, or does not fit its field.
        """
        model, suite = values[self.model], values[self.suite]
        if not model or not suite:
            field = "suite" if model else "model"
            raise InvalidArgument("A model and a suite are needed.", "Choose both.", field=field)
        spec = ShipmentSpec(
            model_version_id=model,
            test_suite_version_id=suite,
            prompt_size=values[self._size],
            export=ParseDict(form_fields(text_of(values, self._form)), ExportSpec()),
            destinations=[] if self._place.is_empty(values) else [self._place.destination(values)],
        )
        is_served = bool(text_of(values, self._fields.components["endpoint.base_url"]))
        self._fields.fill(spec, values, "spec.", "-" if is_served else "endpoint.")
        return spec
