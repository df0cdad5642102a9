"""Destinations of a publication as a person writes them, such as `hf:owner/name`."""

from __future__ import annotations

from typing import Any

from drillyard.registry.v1.publication_pb2 import Destination

from services.chassis.errors import InvalidArgument

_PLACES = {
    "folder": "folder_path",
    "ollama": "ollama_name",
    "ollama-daemon": "ollama_name",
    "ollama-registry": "ollama_registry",
    "hf": "hub_id",
    "oci": "oci_reference",
}
# In which the address follows the name.
_ADDRESSED = ("ollama", "ollama-daemon")
_DAEMON = "http://127.0.0.1:11434"


def destination_fields(text: str, *, secret: str = "", replace: bool = False) -> dict[str, Any]:
    """Return a Destination in JSON that a text such as `ollama:roo` names.

    `ollama:NAME` means the usual store folder of the registry's machine, `ollama:NAME@/FOLDER` another one.

    Raises:
        InvalidArgument: It names no place.
    """
    place, _, rest = text.strip().partition(":")
    if place not in _PLACES or not rest:
        raise InvalidArgument(
            f"{text[:80]!r} names no place.",
            f"Begin with {', '.join(f'{name}:' for name in _PLACES)} and name the place after it.",
            field="destination",
        )
    value, _, address = rest.partition("@") if place in _ADDRESSED else (rest, "", "")
    if place == "ollama-daemon":
        address = address or _DAEMON
    fields: dict[str, Any] = {_PLACES[place]: value, "address": address, "secret": secret, "replace": replace}
    return {name: value for name, value in fields.items() if value}


def destination_text(destination: Destination) -> str:
    """Return the text that `destination_fields` reads."""
    field = destination.WhichOneof("destination")
    if field is None:
        return ""
    address = destination.address
    place = "ollama-daemon" if "://" in address else next(name for name, each in _PLACES.items() if each == field)
    return f"{place}:{getattr(destination, field)}" + (f"@{address}" if address else "")
