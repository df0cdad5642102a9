"""JSON objects of a model folder, read within bounds; keys by which a library could fetch or run foreign code."""

import json
import re
from pathlib import Path
from typing import Any, Final

from services.lm.errors import InvalidModelFile

MAX_JSON_BYTES: Final = 4 << 20
# The index of a large mixture model names some 100,000 tensors.
MAX_INDEX_BYTES: Final = 32 << 20
SAFE_COPY: Final = "Ask for a copy in safetensors form without code, or convert it where you trust it."
_MAX_NESTING: Final = 32
# Without their leading underscores. Transformers writes private keys of its own that run nothing, such as
# `_sliding_window_pattern` or `__float__`, so that the underscore alone tells nothing.
_RUNNING: Final = frozenset(
    {"auto_map", "auto_mapping", "trust_remote_code", "remote_code", "custom_pipelines", "custom_generate"}
    | {"custom_code", "use_kernels", "kernel_config", "hub_kernels"}
)
# Ways of other libraries to name what a loader should build; no configuration of transformers has them.
_BUILDING: Final = frozenset(
    {"_target_", "__reduce__", "__reduce_ex__", "__class__", "__module__", "__import__", "py/object", "py/reduce"}
)
# Where the value is the name of a repository ("owner/name"), its kernel is fetched and run.
_CHOOSING: Final = re.compile(r"implementation|attn_impl|kernel")


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


def check_no_remote_code(value: object, place: str, depth: int = 0) -> None:
    """Pass when no key, at any depth, could make a library fetch or run code.

    A key that is there but asks for nothing (null, false or empty) passes.

    Raises:
        InvalidModelFile: One could.
    """
    if depth > _MAX_NESTING:
        raise InvalidModelFile("The nesting is too deep.", SAFE_COPY, place)
    if isinstance(value, list):
        for item in value:
            check_no_remote_code(item, place, depth + 1)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if item and _could_run(key, item):
            raise InvalidModelFile(f"The key {key[:60]!r} could make a library run foreign code.", SAFE_COPY, place)
        check_no_remote_code(item, place, depth + 1)


def _could_run(key: str, value: object) -> bool:
    name = key.lower()
    if name in _BUILDING or name.lstrip("_") in _RUNNING:
        return True
    return _CHOOSING.search(name) is not None and _names_repository(value)


def _names_repository(value: object) -> bool:
    """Whether a text in the value, however deep, could be a repository; paths of kernels have a slash or a colon."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and ("/" in item or ":" in item):
            return True
        waiting += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return False
