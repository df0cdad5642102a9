"""The families that can be converted."""

from __future__ import annotations

from typing import Final

from services.lm.conversion.families.llama import LLAMA
from services.lm.conversion.families.qwen import QWEN2, QWEN3

FAMILIES: Final = (LLAMA, QWEN2, QWEN3)
ARCHITECTURES: Final = tuple(dict.fromkeys(family.architecture for family in FAMILIES))
BY_ARCHITECTURE: Final = {family.architecture: family for family in reversed(FAMILIES)}
BY_MODEL_TYPE: Final = {family.model_type: family for family in FAMILIES}
