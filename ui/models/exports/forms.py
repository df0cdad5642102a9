"""Forms of an export as a person writes them, such as `gguf:Q4_K_M`."""

from __future__ import annotations

from typing import Any

from drillyard.registry.v1.export_pb2 import ExportForm

from services.chassis.errors import InvalidArgument

_PREFIX = "EXPORT_FORM_"
_FORMS = {name.removeprefix(_PREFIX).lower().replace("_", "-"): name for name, number in ExportForm.items() if number}


# What is offered, with its words; any other form can be written by hand.
CHOICES = (
    ("GGUF, Q8_0", "gguf:Q8_0"),
    ("GGUF, Q4_K_M", "gguf:Q4_K_M"),
    ("GGUF, F16", "gguf:F16"),
    ("Ollama, Q8_0", "ollama:Q8_0"),
    ("Ollama, Q4_K_M", "ollama:Q4_K_M"),
    ("Merged weights", "merged"),
    ("Adapter", "adapter"),
    ("GGUF adapter", "gguf-adapter"),
)


def form_fields(text: str) -> dict[str, Any]:
    """Return the fields `form` and `number_type` of an ExportSpec, in JSON, that a text such as `gguf:Q4_K_M` names.

    Raises:
        InvalidArgument: There is no such form, or a colon without a number type.
    """
    form, colon, number_type = text.strip().partition(":")
    name = _FORMS.get(form.lower().replace("_", "-"))
    if name is None or (colon and not number_type):
        raise InvalidArgument(
            f"{text[:80]!r} is no form of a model.",
            f"Write one of {', '.join(_FORMS)}; merged, gguf and ollama take a number type, as in gguf:Q4_K_M.",
            field="form",
        )
    return {"form": name, "number_type": number_type}


def form_text(form: int, number_type: str) -> str:
    """Return the text that `form_fields` reads."""
    name = ExportForm.Name(ExportForm.ValueType(form)).removeprefix(_PREFIX).lower().replace("_", "-")
    return f"{name}:{number_type}" if number_type else name
