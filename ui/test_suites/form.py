"""The form that imports a file of cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.registry.v1.test_suite_pb2 import TestSuiteProvenance

from services.chassis.errors import InvalidArgument
from ui.shared.fields import text_of
from ui.test_suites.actions import NewSuite

_FORMATS = {"Cases, as Download gives them": "cases", "BFCL function calls": "bfcl", "Prompts with answers": "prompts"}


@dataclass(frozen=True)
class ImportForm:
    """The components of the form."""

    file: gr.File
    suite_id: gr.Textbox
    file_format: gr.Radio
    skips: gr.Checkbox
    scorer: gr.Textbox
    threshold: gr.Number
    provenance: Mapping[str, gr.Textbox]
    check: gr.Button
    start: gr.Button

    def components(self) -> set[Any]:
        """Return all fields, as inputs of an event."""
        named = {self.file, self.suite_id, self.file_format, self.skips, self.scorer, self.threshold}
        return named | set(self.provenance.values())

    def read(self, values: Mapping[Any, Any]) -> NewSuite:
        """Return what a person wants to import.

        Raises:
            InvalidArgument: There is no file.
        """
        if not values[self.file]:
            raise InvalidArgument("There is no file.", "Choose a JSONL or CSV file.", field="artifact")
        provenance = {name: text_of(values, component) for name, component in self.provenance.items()}
        return NewSuite(
            test_suite_id=text_of(values, self.suite_id),
            content=values[self.file],
            file_format=_FORMATS[values[self.file_format]],
            skips_wrong_lines=bool(values[self.skips]),
            scorer=text_of(values, self.scorer),
            threshold=values[self.threshold] or 0.0,
            provenance=TestSuiteProvenance(**provenance),
        )


def import_form() -> ImportForm:
    """Build the form, folded: most people use the suites that are there."""
    with (
        gr.Column(elem_classes="dy-form"),
        gr.Accordion("Import a suite of your own", open=False, elem_id="suite-import"),
    ):
        file = gr.File(
            label="File", type="binary", file_types=[".jsonl", ".json", ".csv"], height=120, elem_id="suite-file"
        )
        suite_id = gr.Textbox(
            label="Name",
            info="Protocol, slash, name.",
            placeholder="roo_xml/mine",
            max_length=200,
            elem_id="suite-test-suite-id",
        )
        file_format = gr.Radio(
            list(_FORMATS), value=next(iter(_FORMATS)), label="What its lines are", elem_id="suite-format"
        )
        provenance, scorer, threshold, skips = _rarely_needed()
        with gr.Row():
            check = gr.Button("Check", elem_id="suite-check", min_width=110)
            start = gr.Button("Import", variant="primary", elem_id="suite-start", min_width=110)
    return ImportForm(file, suite_id, file_format, skips, scorer, threshold, provenance, check, start)


def _rarely_needed() -> tuple[dict[str, gr.Textbox], gr.Textbox, gr.Number, gr.Checkbox]:
    with gr.Accordion("Origin and scoring", open=False, elem_id="suite-origin"):
        provenance = {
            name: gr.Textbox(label=label, placeholder=example, max_length=500, elem_id=f"suite-{name}")
            for name, label, example in (
                ("licence", "Licence", "Apache-2.0"),
                ("generator", "What made the cases", ""),
                ("seed", "Its seed", ""),
                ("source", "Where they were found", ""),
            )
        }
        scorer = gr.Textbox(
            label="Scorer of prompts",
            info="Of prompts that name none; empty: exact.",
            max_length=100,
            elem_id="suite-scorer",
        )
        threshold = gr.Number(
            0, label="Score from which an answer conforms", info="0 to 1; 0: 1.", elem_id="suite-threshold"
        )
        skips = gr.Checkbox(label="Leave out lines that cannot become cases", elem_id="suite-skips-wrong-lines")
    return provenance, scorer, threshold, skips
