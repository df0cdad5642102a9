"""Qwen 2 and 3, and the mixtures of the third."""

from __future__ import annotations

from typing import Final

from services.lm.conversion.families.family import Family, Part
from services.lm.conversion.families.llama import FEED_FORWARD, NORMS, attention, attention_biases

_BIASES: Final = attention_biases(interleaved=False)
_FIXED: Final = {"hidden_act": ("silu",), "use_sliding_window": (False, None)}

HEAD_NORMS: Final = (
    Part("attn_q_norm.weight", "self_attn.q_norm.weight", ("head",)),
    Part("attn_k_norm.weight", "self_attn.k_norm.weight", ("head",)),
)

QWEN2: Final = Family(
    "qwen2",
    "qwen2",
    "Qwen2ForCausalLM",
    layer=(*NORMS, *attention(interleaved=False), *FEED_FORWARD),
    biases=(_BIASES[:3],),
    always_biased=True,
    fixed=_FIXED,
)
QWEN3: Final = Family(
    "qwen3",
    "qwen3",
    "Qwen3ForCausalLM",
    layer=(*NORMS, *attention(interleaved=False), *HEAD_NORMS, *FEED_FORWARD),
    biases=(_BIASES,),
    # llama.cpp reads no bias of the output.
    fixed=_FIXED | {"attention_bias": (False,)},
)
QWEN3_MOE: Final = Family(
    "qwen3moe",
    "qwen3_moe",
    "Qwen3MoeForCausalLM",
    layer=(
        *NORMS,
        *attention(interleaved=False),
        *HEAD_NORMS,
        Part("ffn_gate_inp.weight", "mlp.gate.weight", ("experts", "hidden")),
        Part("ffn_gate_exps.weight", "mlp.experts.{}.gate_proj.weight", ("experts", "expert_feed_forward", "hidden")),
        Part("ffn_up_exps.weight", "mlp.experts.{}.up_proj.weight", ("experts", "expert_feed_forward", "hidden")),
        Part("ffn_down_exps.weight", "mlp.experts.{}.down_proj.weight", ("experts", "hidden", "expert_feed_forward")),
    ),
    fixed=QWEN3.fixed,
    is_mixture=True,
)
