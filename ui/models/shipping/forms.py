"""Forms of an export as a person writes them, such as `gguf:Q4_K_M`."""

from __future__ import annotations

from typing import Any

from drillyard.registry.v1.export_pb2 import ExportForm

from services.chassis.errors import InvalidArgument

_PREFIX = "EXPORT_FORM_"
_FORMS = {name.removeprefix(_PREFIX).lower().replace("_", "-"): name for name, number in ExportForm.items() if number}


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
