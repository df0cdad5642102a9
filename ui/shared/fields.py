"""Form fields made from the fields of a message: label, default, unit and help stand in its contract alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import gradio as gr
from drillyard.test_runner.v1.test_run_pb2 import Sampling
from google.protobuf.message import Message

from services.chassis.errors import InvalidArgument
from services.chassis.wire import Field, fields_of

SAMPLING = tuple(f"sampling.{field.name}" for field in fields_of(Sampling) if field.name != "max_new_tokens")
_ENDPOINT_SETTINGS = ("api_key_secret", "tool_mode", "num_ctx", "max_concurrency", "stop", "extra_body")
_EXAMPLES = {
    "endpoint.base_url": "http://127.0.0.1:8080/v1",
    "endpoint.model": "qwen3-8b",
    "endpoint.extra_body": '{"cache_prompt": true}',
}
_FIELD_NAME = re.compile("`([a-z_]+)`")
Values = Mapping[Any, Any]


class FieldForm:
    """Components of a form, by the paths of the fields that they set.

    Args:
        form: Begins the id of each element, so that an error is shown beside the field that it blames.
        message: Whose fields can be set.
    """

    def __init__(self, form: str, message: type[Message]) -> None:
        self._form = form
        self._fields = {field.path: field for field in fields_of(message)}
        self._labels = {path.rpartition(".")[2]: field.label for path, field in self._fields.items()}
        self.components: dict[str, Any] = {}

    def add(self, *paths: str, **more: Any) -> None:
        """Build the components of fields, two beside each other."""
        for begin in range(0, len(paths), 2):
            with gr.Row():
                for path in paths[begin : begin + 2]:
                    self.components[path] = _component(self._form, self._fields[path], self._labels, **more)

    def add_endpoint(self) -> None:
        """Build the components of a served model; rarely needed ones are folded."""
        self.add("endpoint.base_url")
        self.add("endpoint.model")
        with gr.Accordion("Settings of the endpoint", open=False, elem_id=f"{self._form}-endpoint-settings"):
            for name in _ENDPOINT_SETTINGS:
                self.add(f"endpoint.{name}")

    def fill(self, message: Message, values: Values, owner: str = "", leaving_out: str | tuple[str, ...] = "-") -> None:
        """Set the fields of a message; an emptied one is left unset.

        Args:
            message: What is filled.
            values: What a person has put in, by component.
            owner: Put in front of a field's path in errors, such as `spec.`.
            leaving_out: Fields whose paths begin so are not set.

        Raises:
            InvalidArgument: A value does not fit its field; the error names it.
        """
        for path, component in self.components.items():
            value = _value(self._fields[path], values[component])
            if value is None or path.startswith(leaving_out):
                continue
            *owners, name = path.split(".")
            inner: Any = message
            for part in owners:
                inner = getattr(inner, part)
            try:
                _set(inner, name, value)
            except (ValueError, TypeError, OverflowError) as error:
                raise InvalidArgument(
                    f"{self._fields[path].label} cannot be {value!s:.40}.",
                    "Give another value, or empty the field for the default.",
                    field=f"{owner}{path}",
                ) from error

    def updates(self, message: Message) -> list[Any]:
        """Return updates of the components, in their order: what a message holds, an unset field as its default."""
        return [gr.update(value=_shown(self._fields[path], message)) for path in self.components]


def text_of(values: Values, component: Any) -> str:
    """Return what a text field holds, without space around it; a field that was never shown holds nothing."""
    return str(values[component] or "").strip()


def _component(form: str, field: Field, labels: Mapping[str, str], **more: Any) -> Any:
    path = field.path.removeprefix("sampling.").replace(".", "-").replace("_", "-")
    # What the label says already is not said again.
    label = field.label.lower()
    info = None if field.help.rstrip(".").lower() == label else _FIELD_NAME.sub(partial(_named, labels), field.help)
    common: dict[str, Any] = {"label": field.label, "info": info, "elem_id": f"{form}-{path}", **more}
    if field.kind == "bool":
        return gr.Checkbox(field.default, **common)
    if field.kind == "enum":
        choices = [(label, name) for name, label in field.choices]
        unset = [] if field.default else [(field.unset_label, "")]
        return gr.Radio([*unset, *choices], value=field.default, **common)
    if field.kind == "text":
        example = _EXAMPLES.get(field.path)
        lines = 2 if field.is_repeated or field.path.endswith("extra_body") else 1
        return gr.Textbox(field.default or "", placeholder=example, lines=lines, max_length=20_000, **common)
    if field.unit and field.unit not in label:
        common["label"] = f"{field.label}, in {field.unit}"
    return gr.Number(_initial(field), precision=0 if field.kind == "int" else None, min_width=110, **common)


def _named(labels: Mapping[str, str], name: re.Match[str]) -> str:
    """A form shows labels where the contract names fields."""
    return f"“{labels[name[1]]}”" if name[1] in labels else name[0]


def _initial(field: Field) -> Any:
    """What an empty form shows; nothing where unset means something that no value says."""
    is_number = field.kind in ("int", "float")
    return None if is_number and not field.default and (field.minimum or 0) > 0 else field.default


def _shown(field: Field, message: Any) -> Any:
    *owners, name = field.path.split(".")
    for owner in owners:
        message = getattr(message, owner)
    value = getattr(message, name)
    if field.is_repeated:
        return "\n".join(value)
    if field.kind == "enum":
        return (
            message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number[value].name if value else field.default
        )
    return value or _initial(field)


def _value(field: Field, value: Any) -> Any:
    if field.kind == "text" and field.is_repeated:
        return [line.replace("\\n", "\n") for line in str(value or "").splitlines() if line.strip()]
    if field.kind in ("text", "enum"):
        return str(value or "").strip() or None
    return value


def _set(message: Any, name: str, value: Any) -> None:
    if isinstance(value, list):
        getattr(message, name).extend(value)
    elif isinstance(value, str) and message.DESCRIPTOR.fields_by_name[name].enum_type:
        setattr(message, name, message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_name[value].number)
    else:
        setattr(message, name, value)
