"""The chat templates in a GGUF file: the default one, and others by name, as for chats with functions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from services.lm.conversion.header import Header
from services.lm.conversion.vocabulary.tokens import NOT_OURS
from services.lm.errors import InvalidModelFile
from services.lm.folders import MAX_TEMPLATE_BYTES

_DEFAULT: Final = "default"
_KEY: Final = "tokenizer.chat_template"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_MAX_TEMPLATES: Final = 16


def chat_templates(header: Header) -> dict[str, str]:
    """The templates by name; that without a name is `default`.

    Raises:
        InvalidModelFile: One is too large, has no usable name, or is announced and not there.
    """
    templates = {
        key.removeprefix(f"{_KEY}.") if key != _KEY else _DEFAULT: header.text(key)
        for key in header.metadata
        if key == _KEY or key.startswith(f"{_KEY}.")
    }
    announced = header.metadata.get("tokenizer.chat_templates", [])
    for name in announced if isinstance(announced, list) else [announced]:
        if name != _DEFAULT and name not in templates:
            raise InvalidModelFile(
                f"The chat template {str(name)[:40]!r} is announced and missing.", NOT_OURS, "tokenizer.chat_templates"
            )
    if len(templates) > _MAX_TEMPLATES:
        raise InvalidModelFile(f"There are more than {_MAX_TEMPLATES} chat templates.", NOT_OURS, _KEY)
    for name, template in templates.items():
        if not _NAME.fullmatch(name):
            raise InvalidModelFile(f"The chat template has the name {name[:40]!r}.", NOT_OURS, _KEY)
        if len(template.encode()) > MAX_TEMPLATE_BYTES:
            raise InvalidModelFile(f"The chat template is larger than {MAX_TEMPLATE_BYTES} bytes.", NOT_OURS, _KEY)
    return {name: template for name, template in templates.items() if template}


def write_chat_templates(header: Header, folder: Path) -> None:
    """Write them as transformers does: `chat_template.jinja`, and `additional_chat_templates/NAME.jinja`."""
    for name, template in chat_templates(header).items():
        place = (
            folder / "chat_template.jinja" if name == _DEFAULT else folder / f"additional_chat_templates/{name}.jinja"
        )
        place.parent.mkdir(exist_ok=True)
        place.write_text(template, encoding="utf-8", newline="")
