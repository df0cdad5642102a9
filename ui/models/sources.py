"""Where a model comes from, as a person writes it: `hf:owner/name`, `ollama:name:tag`, an address or a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import unquote

from services.chassis.errors import InvalidArgument

_PREFIXES = {"hf": "hub_id", "ollama": "ollama_tag", "oci": "oci_reference"}
# What a browser shows of a model on the public hub.
_HUB_PAGE = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<name>[\w.-]+/[\w.-]+)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[\w.-]+)(?:/(?P<file>[^?#]+\.gguf))?)?/?(?:\?.*)?"
)
_SUFFIXES = (".gguf", ".safetensors")
_MAX_NAME = 100


@dataclass(frozen=True)
class SourceText:
    """A place: the field of ImportSource that names its kind, its value, and a model's name made from it."""

    field: str
    value: str
    model_id: str


def read_source(text: str) -> SourceText:
    """Return the place that a person's words mean; a path is a GGUF file's by its name, and else a folder's.

    Raises:
        InvalidArgument: They are an address of another scheme than HTTP.
    """
    text = text.strip()
    prefix, colon, rest = text.partition(":")
    if page := _HUB_PAGE.fullmatch(text):
        revision, file = page["revision"] or "", unquote(page["file"] or "")
        revision = "" if revision == "main" else revision
        hub_id = page["name"] + (f"@{revision}" if revision else "") + (f":{file}" if file else "")
        return SourceText("hub_id", hub_id, model_id_of(file or page["name"]))
    if colon and prefix in _PREFIXES:
        return SourceText(_PREFIXES[prefix], rest, model_id_of(_shortened(prefix, rest)))
    if text.startswith(("http://", "https://")):
        return SourceText("url", text, model_id_of(unquote(text.partition("?")[0])))
    if "://" in text:
        raise InvalidArgument(
            f"Models are not fetched by {text.partition('://')[0][:20]!r}.",
            "Begin with hf:, ollama:, oci:, http:// or https://, or give a path.",
            field="source",
        )
    field = "gguf_path" if text.lower().endswith(".gguf") else "folder_path"
    return SourceText(field, text, model_id_of(text))


def _shortened(prefix: str, rest: str) -> str:
    """Return of a name that part by which people know the model."""
    if prefix == "hf":
        name, _, file = rest.partition(":")
        return file or name.partition("@")[0]
    return rest.rpartition("/")[2].partition("@")[0].removesuffix(":latest")


def model_id_of(name: str) -> str:
    """Return a model's name made from a file's: lower-case letters, digits, dots and dashes."""
    stem = PurePath(name).name.lower()
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    stem = re.sub(r"-00001-of-\d{5}$", "", stem)
    letters = "".join(item if item.isascii() and (item.isalnum() or item in ".-") else "-" for item in stem)
    return re.sub(r"\.{2,}", ".", letters)[:_MAX_NAME].strip(".-")
