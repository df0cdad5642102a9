"""The families that can be converted."""

from typing import Final

from services.lm.conversion.families.architectures.gemma import GEMMA, GEMMA2, GEMMA3
from services.lm.conversion.families.architectures.layer_norm import NEMOTRON, STABLELM, STARCODER2
from services.lm.conversion.families.architectures.llama import (
    GRANITE,
    LLAMA,
    MINIMAX_M2,
    MISTRAL,
    OLMO,
    OLMO2,
    OLMO3,
    PHI3,
    SMOLLM3,
)
from services.lm.conversion.families.architectures.qwen import QWEN2, QWEN2_MOE, QWEN3, QWEN3_MOE
from services.lm.conversion.families.architectures.recurrent import LFM2, MAMBA
from services.lm.conversion.families.architectures.transformer import BLOOM, FALCON, GPT_2
from services.lm.conversion.families.family import OTHER_MODEL, Family

_FAMILIES: Final = (
    *(LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA, GEMMA2, GEMMA3, PHI3, SMOLLM3, OLMO, OLMO2, OLMO3),
    *(GRANITE, STARCODER2, STABLELM, NEMOTRON, QWEN2_MOE, QWEN3_MOE, GPT_2, BLOOM, FALCON, LFM2),
    *(MINIMAX_M2, MAMBA),
)
ARCHITECTURES: Final = tuple(dict.fromkeys(family.architecture for family in _FAMILIES))
BY_MODEL_TYPE: Final = {family.model_type: family for family in _FAMILIES}


def family_of_architecture(name: str, *, has_window: bool) -> Family:
    """The first family of this architecture, or that with windows where a file has one."""
    families = [family for family in _FAMILIES if family.architecture == name]
    return next((family for family in families if has_window and family.windows), families[0])


# By the name that GGUF or `config.json` has for it: why a family that llama.cpp computes is not carried over.
_REASONS: Final = {
    **dict.fromkeys(("gpt-oss", "gpt_oss"), "its attention has sinks, and its experts' halves are interleaved"),
    **dict.fromkeys(("gemma4", "gemma4_text"), "some layers use the keys of others, and have a vector of each token"),
    **dict.fromkeys(("gemma3n", "gemma3n_text"), "some layers use the keys of others, and have a vector of each token"),
    **dict.fromkeys(("mamba2", "falcon_h1", "falcon-h1", "jamba"), "it has state spaces in the place of attention"),
    **dict.fromkeys(("lfm2moe", "lfm2_moe"), "its experts are chosen with a bias of their own"),
    "mixtral": "a GGUF of it is one of Llama with experts, which is not read",
}
# Those that no folder helps.
_LOST: Final = {
    **dict.fromkeys(("deci", "nemotron-nas"), "its layers have other sizes each, and transformers has no class of it"),
    **dict.fromkeys(("t5", "umt5"), "it reads a text whole before it writes, and continues none"),
}


def why_not(name: str) -> str:
    """What is to be said of a family that is not in the table: its name, and the reason where it is known."""
    reason = _REASONS.get(name) or _LOST.get(name, "it is none of those that are carried over")
    return f"The architecture {name[:40]!r} is not converted from or to GGUF: {reason}."


def what_instead(name: str) -> str:
    """What can be had of a family that is not in the table: the forms that there are of it, or another model."""
    if name in _LOST:
        return "No form of it can be used here: choose a model of another kind."
    if name not in _REASONS:
        return OTHER_MODEL
    return (
        "Import its folder of safetensors, such as hf:OWNER/NAME: it can be tested and trained, and exported as "
        "adapter or merged weights."
    )
