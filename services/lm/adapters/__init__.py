"""LoRA adapters in PEFT's folder form: made, saved, continued, merged; never applied to a model they don't fit."""

from services.lm.adapters.lora import add_lora, load_adapter, merge_adapter, save_adapter, snapshot_adapter
from services.lm.adapters.settings import ALL_LINEAR, LoraSettings, read_settings

__all__ = [
    "ALL_LINEAR",
    "LoraSettings",
    "add_lora",
    "load_adapter",
    "merge_adapter",
    "read_settings",
    "save_adapter",
    "snapshot_adapter",
]
