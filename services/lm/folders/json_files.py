"""JSON objects of a model folder, read within bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from services.lm.errors import InvalidModelFile

MAX_JSON_BYTES: Final = 4 << 20
# The index of a large mixture model names some 100,000 tensors.
MAX_INDEX_BYTES: Final = 32 << 20


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in `path`, bounded in size.

    Raises:
        InvalidModelFile: It is missing, too large, or not a JSON object.
    """
    if not path.is_file():
        raise InvalidModelFile("The file is missing.", "Choose the folder that holds the model's files.", str(path))
    if path.stat().st_size > max_bytes:
        raise InvalidModelFile(f"The file is larger than {max_bytes} bytes.", "Choose another model.", path.name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidModelFile("The file is not valid JSON.", "Fetch it again.", path.name) from error
    if not isinstance(content, dict):
        raise InvalidModelFile("The file does not hold a JSON object.", "Fetch it again.", path.name)
    return content
