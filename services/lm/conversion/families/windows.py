"""Layers that see only the last tokens, from a GGUF's metadata to `config.json` and back."""

from typing import Any

from services.lm.conversion.families.family import FOLDER_FORMS, Dimensions, Entry, Family
from services.lm.conversion.families.keys import Keys
from services.lm.errors import InvalidModelFile

_WINDOW = "attention.sliding_window"
_PATTERN = "attention.sliding_window_pattern"


def read_windows(keys: Keys, family: Family, sizes: Dimensions) -> dict[str, object]:
    """What `config.json` says of windows; empty for an architecture without.

    Raises:
        InvalidModelFile: Other layers have windows than those of its class.
    """
    windows = family.windows
    width = int(keys.real(_WINDOW, windows.default if windows else 0, may_be_zero=True))
    if windows is None:
        return {"sliding_window": width} if family.ignores_window and width else {}
    if not width:
        return {"layer_types": ["full_attention"] * sizes.layers}
    types = windows.layer_types(sizes.layers)
    keys.check(_PATTERN, windows.period, [kind == "sliding_attention" for kind in types])
    return {"sliding_window": width, "layer_types": types}


def window_entries(config: Any, family: Family, sizes: Dimensions) -> list[Entry]:
    """What the metadata say of them.

    Raises:
        InvalidModelFile: llama.cpp gives windows to other layers.
    """
    windows, width = family.windows, config_window(config)
    if windows is None:
        return [(f"{family.architecture}.{_WINDOW}", width, "UINT32")] if width and family.has_long_factors else []
    types = list(config.layer_types)
    if "sliding_attention" not in types or not width:
        # As wide as a text can be, where a file that names none would get one.
        width = config.max_position_embeddings if windows.default else 0
    elif types != windows.layer_types(sizes.layers):
        raise InvalidModelFile(
            f"Other layers have windows than those that llama.cpp gives them to in {family.architecture}.",
            FOLDER_FORMS,
            "config.json",
        )
    return [(f"{family.architecture}.{_WINDOW}", width, "UINT32")] if width else []


def config_window(config: Any) -> int:
    """The window, 0 for none."""
    return int(getattr(config, "sliding_window", None) or 0)
