"""Phi-3 and Phi-4, which make query, key and value by one matrix, and both factors of the feed-forward layer too."""

from typing import Final

from services.lm.conversion.families.architectures.llama import NORMS
from services.lm.conversion.families.family import Family, Part

PHI3: Final = Family(
    "phi3",
    "phi3",
    "Phi3ForCausalLM",
    layer=(
        *NORMS,
        Part("attn_qkv.weight", "self_attn.qkv_proj.weight", ("joined", "hidden")),
        Part("attn_output.weight", "self_attn.o_proj.weight", ("hidden", "queries")),
        Part("ffn_up.weight", "mlp.gate_up_proj.weight", ("gate_and_up", "hidden")),
        Part("ffn_down.weight", "mlp.down_proj.weight", ("hidden", "feed_forward")),
    ),
    fixed={"hidden_act": ("silu",)},
    ignores_window=True,
    has_long_factors=True,
    turns_part=True,
)
