"""The fields of a form that say where a version goes."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.registry.v1.publication_pb2 import Destination
from google.protobuf.json_format import ParseDict

from ui.models.exports.destinations import destination_fields
from ui.shared.fields import FieldForm, Values, text_of


class PlaceForm:
    """A text such as `hf:owner/name`, the name of the place's secret, and whether to replace what is there.

    Args:
        form: Begins the id of each element.
        label: Stands at the text.
        info: Says what can be written there.
    """

    def __init__(self, form: str, label: str, info: str) -> None:
        element = f"{form}-destination"
        self._text = gr.Textbox("", label=label, info=info, max_length=4096, elem_id=element)
        self._fields = FieldForm(element, Destination)
        for name in ("secret", "replace"):
            self._fields.add(name)

    def components(self) -> set[Any]:
        """Return what `destination` needs the values of."""
        return {self._text, *self._fields.components.values()}

    def is_empty(self, values: Values) -> bool:
        """Return whether no place is named."""
        return not text_of(values, self._text)

    def destination(self, values: Values) -> Destination:
        """Return the place that is named.

        Raises:
            InvalidArgument: The text names none.
        """
        destination = ParseDict(destination_fields(text_of(values, self._text)), Destination())
        self._fields.fill(destination, values, "destination.")
        return destination
