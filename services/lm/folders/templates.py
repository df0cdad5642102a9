"""The chat templates of a folder, found and ranked as transformers does: one, or several by name."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from services.lm.errors import InvalidModelFile
from services.lm.folders.json_files import read_json

DEFAULT: Final = "default"
TOOL_USE: Final = "tool_use"
FILE: Final = "chat_template.jinja"
FOLDER: Final = "additional_chat_templates"
# The second is where processors keep theirs.
_SETTINGS: Final = ("tokenizer_config.json", "chat_template.json")
MAX_TEMPLATES: Final = 32
MAX_TEMPLATE_BYTES: Final = 1 << 20
_MAX_NAME: Final = 64

Templates = str | dict[str, str] | None


def read_templates(folder: Path) -> Templates:
    """The one template, or several by name, or None.

    Files come before the tokenizer's settings, as transformers has it, and what a processor's file says comes last.

    Raises:
        InvalidModelFile: A template is no text, is too large, or there are too many.
    """
    files = _from_files(folder)
    if files:
        return files[DEFAULT] if set(files) == {DEFAULT} else files
    templates: Templates = None
    for name in _SETTINGS:
        if templates is None and (folder / name).is_file():
            templates = _named(read_json(folder / name).get("chat_template"), name)
    return templates


def template_digest(templates: Templates) -> str:
    """SHA-256 of the one template's text, or of all names and texts."""
    if isinstance(templates, dict) and set(templates) == {DEFAULT}:
        templates = templates[DEFAULT]
    text = json.dumps(templates, sort_keys=True) if isinstance(templates, dict) else templates or ""
    return hashlib.sha256(text.encode()).hexdigest()


def _from_files(folder: Path) -> dict[str, str]:
    paths = {DEFAULT: folder / FILE} if (folder / FILE).is_file() else {}
    paths |= {path.name.removesuffix(".jinja"): path for path in sorted((folder / FOLDER).glob("*.jinja"))}
    for path in paths.values():
        if path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise _too_large(path.name)
    try:
        return _checked({name: path.read_text(encoding="utf-8") for name, path in paths.items()}, FILE)
    except UnicodeDecodeError as error:
        raise InvalidModelFile("A chat template is not text in UTF-8.", "Fetch it again.", FILE) from error


def _named(value: object, place: str) -> Templates:
    if value is None or isinstance(value, str):
        return value if value is None else _checked({DEFAULT: value}, place)[DEFAULT]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        value = {item.get("name"): item.get("template") for item in value}
    if not isinstance(value, dict) or not value:
        raise InvalidModelFile("Its chat_template is neither a text nor texts by name.", "Fetch it again.", place)
    return _checked(value, place)


def _checked(templates: dict[Any, Any], place: str) -> dict[str, str]:
    if len(templates) > MAX_TEMPLATES:
        raise InvalidModelFile(f"It has more than {MAX_TEMPLATES} chat templates.", "Choose another model.", place)
    for name, text in templates.items():
        if not isinstance(name, str) or not isinstance(text, str) or len(name) > _MAX_NAME or not name.isprintable():
            raise InvalidModelFile("A chat template lacks a name or its text.", "Fetch it again.", place)
        if len(text) > MAX_TEMPLATE_BYTES:
            raise _too_large(place)
    return templates


def _too_large(place: str) -> InvalidModelFile:
    return InvalidModelFile(
        f"The chat template is larger than {MAX_TEMPLATE_BYTES} bytes.", "Choose another model.", place
    )
