"""The families that can be converted."""

from __future__ import annotations

from typing import Final

from services.lm.conversion.families.family import Family
from services.lm.conversion.families.gemma import GEMMA, GEMMA2, GEMMA3
from services.lm.conversion.families.layer_norm import NEMOTRON, STABLELM, STARCODER2
from services.lm.conversion.families.llama import GRANITE, LLAMA, MISTRAL, SMOLLM3
from services.lm.conversion.families.olmo import OLMO, OLMO2, OLMO3
from services.lm.conversion.families.phi import PHI3
from services.lm.conversion.families.qwen import QWEN2, QWEN3, QWEN3_MOE

_FAMILIES: Final = (
    *(LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA, GEMMA2, GEMMA3, PHI3, SMOLLM3, OLMO, OLMO2, OLMO3),
    *(GRANITE, STARCODER2, STABLELM, NEMOTRON, QWEN3_MOE),
)
ARCHITECTURES: Final = tuple(dict.fromkeys(family.architecture for family in _FAMILIES))
# Those that are written as GGUF.
BY_MODEL_TYPE: Final = {family.model_type: family for family in _FAMILIES if not family.is_mixture}


def family_of_architecture(name: str, *, has_window: bool) -> Family:
    """The first family of this architecture, or that with windows where a file has one."""
    families = [family for family in _FAMILIES if family.architecture == name]
    return next((family for family in families if has_window and family.windows), families[0])
