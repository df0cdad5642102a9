"""Fields that several forms share: numbers, sampling, and served models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import gradio as gr
from drillyard.test_runner.v1.test_run_pb2 import Endpoint, ToolMode
from google.protobuf.message import Message

from services.chassis.errors import InvalidArgument

# Field of the wire, default, label, digits after the point (None: any), and what it means.
Row: TypeAlias = tuple[str, float, str, int | None, str]
SAMPLING: tuple[Row, ...] = (
    ("temperature", 0, "Temperature", None, "0 is greedy."),
    ("top_p", 0, "Top-p", None, "0 to 1; 0: unset."),
    ("top_k", 0, "Top-k", 0, "0: all tokens."),
    ("min_p", 0, "Min-p", None, "0 to 1; 0: unset."),
)
_ENDPOINT: tuple[Row, ...] = (
    ("num_ctx", 0, "Context, in tokens", 0, "0: the server's own."),
    ("max_concurrency", 4, "Requests at once", 0, ""),
)
LONGEST: Row = ("max_new_tokens", 192, "Longest answer, in tokens", 0, "")
_MODES = {"As the protocol asks": "UNSPECIFIED", "In the request": "NATIVE", "In the prompt only": "PROMPT"}


@dataclass(frozen=True)
class EndpointFields:
    """Components in the order of the wire's fields."""

    base_url: gr.Textbox
    model: gr.Textbox
    api_key_secret: gr.Textbox
    tool_mode: gr.Radio
    num_ctx: gr.Number
    stop: gr.Textbox
    extra_body: gr.Textbox
    max_concurrency: gr.Number

    def components(self) -> set[Any]:
        """Return all components, as inputs of an event."""
        return set(vars(self).values())

    def read(self, given: Mapping[Any, Any], owner: str = "") -> Endpoint:
        """Return the endpoint that a person has named.

        Raises:
            InvalidArgument: A number is out of range; the error names the field, behind `owner`.
        """
        endpoint = Endpoint(
            base_url=text_of(given, self.base_url),
            model=text_of(given, self.model),
            api_key_secret=text_of(given, self.api_key_secret),
            tool_mode=ToolMode.Value(f"TOOL_MODE_{_MODES[given[self.tool_mode]]}"),
            stop=[line.replace("\\n", "\n") for line in text_of(given, self.stop).splitlines() if line],
            extra_body=text_of(given, self.extra_body),
        )
        numbers = {"num_ctx": given[self.num_ctx], "max_concurrency": given[self.max_concurrency]}
        filled(endpoint, f"{owner}endpoint.", **numbers)
        return endpoint


def endpoint_fields(form: str) -> EndpointFields:
    """Build the fields of the form `form`; rarely needed ones are folded."""
    url = _text(
        form,
        "base-url",
        "Address",
        placeholder="http://127.0.0.1:8080/v1",
        info="Of vLLM, llama.cpp's server, Ollama, or anything that speaks OpenAI's chat completions.",
        max_length=2000,
    )
    model = _text(form, "model", "Name of the model there", placeholder="qwen3-8b", max_length=500)
    with gr.Accordion("Settings of the endpoint", open=False, elem_id=f"{form}-endpoint-settings"):
        hint = "Its name, never the key. Empty: no key."
        secret = _text(form, "api-key-secret", "Name of the key's secret", info=hint, max_length=200)
        mode = gr.Radio(
            list(_MODES),
            value=next(iter(_MODES)),
            label="Where functions are offered",
            elem_id=f"{form}-endpoint-tool-mode",
        )
        numbers = number_fields(f"{form}-endpoint", _ENDPOINT)
        hint = "One a line; \\n is a line break."
        stop = _text(form, "stop", "Texts that end an answer", info=hint, lines=2, max_length=20_000)
        example = '{"cache_prompt": true}'
        body = _text(
            form, "extra-body", "Further request settings", info="A JSON object.", placeholder=example, lines=2
        )
    return EndpointFields(url, model, secret, mode, numbers["num_ctx"], stop, body, numbers["max_concurrency"])


def _text(form: str, name: str, label: str, **more: Any) -> gr.Textbox:
    return gr.Textbox(label=label, elem_id=f"{form}-endpoint-{name}", **{"max_length": 20_000, **more})


def text_of(given: Mapping[Any, Any], component: Any) -> str:
    """Return what a text field holds, without space around it; a field that was never shown holds nothing."""
    return str(given[component] or "").strip()


def number_fields(form: str, table: Sequence[Row]) -> dict[str, gr.Number]:
    """Build number fields of the form `form`, two beside each other; they are found by the wire's names."""
    found: dict[str, gr.Number] = {}
    for begin in range(0, len(table), 2):
        with gr.Row():
            found |= {row[0]: _number(form, row) for row in table[begin : begin + 2]}
    return found


def values(fields: Mapping[str, Any], given: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what a person has put into fields, by the wire's names."""
    return {name: given[component] for name, component in fields.items()}


def filled(message: Message, owner: str, **values: Any) -> None:
    """Set fields of a message; an emptied form field leaves its own unset.

    Args:
        message: What is filled.
        owner: Put in front of a field's name in errors, such as `spec.`.
        values: By field.

    Raises:
        InvalidArgument: A number is too large for its field; the error names it.
    """
    for name, value in values.items():
        if value is None:
            continue
        try:
            setattr(message, name, value)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidArgument(
                f"{name.replace('_', ' ').capitalize()} cannot be {value!s:.40}.",
                "Give another value, or empty the field for the default.",
                field=f"{owner}{name}",
            ) from error


def _number(form: str, row: Row) -> gr.Number:
    name, value, label, precision, hint = row
    return gr.Number(
        value,
        label=label,
        info=hint or None,
        precision=precision,
        min_width=110,
        elem_id=f"{form}-{name.replace('_', '-')}",
    )
