"""Qwen 2 and 3, and their mixtures, of which the second has an expert that each token goes through."""

from typing import Final

from services.lm.conversion.families.architectures.llama import FEED_FORWARD, NORMS, attention, attention_biases
from services.lm.conversion.families.family import Count, Family, Part

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
_EXPERTS: Final = (
    Part("ffn_gate_inp.weight", "mlp.gate.weight", ("experts", "hidden")),
    Part("ffn_gate_exps.weight", "mlp.experts.{}.gate_proj.weight", ("experts", "expert_feed_forward", "hidden")),
    Part("ffn_up_exps.weight", "mlp.experts.{}.up_proj.weight", ("experts", "expert_feed_forward", "hidden")),
    Part("ffn_down_exps.weight", "mlp.experts.{}.down_proj.weight", ("experts", "hidden", "expert_feed_forward")),
)
_SHARED_EXPERT: Final = (
    Part("ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight", ("hidden",), form="first"),
    Part("ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight", ("shared_feed_forward", "hidden")),
    Part("ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight", ("shared_feed_forward", "hidden")),
    Part("ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight", ("hidden", "shared_feed_forward")),
)
_COUNTS: Final = (
    Count("expert_count", "num_experts", size="experts"),
    Count("expert_used_count", "num_experts_per_tok"),
    Count("expert_feed_forward_length", "moe_intermediate_size", size="expert_feed_forward"),
)
_ALL_MIXED: Final = {"decoder_sparse_step": (1,), "mlp_only_layers": ([],)}

QWEN2_MOE: Final = Family(
    "qwen2moe",
    "qwen2_moe",
    "Qwen2MoeForCausalLM",
    layer=(*NORMS, *attention(interleaved=False), *_EXPERTS, *_SHARED_EXPERT),
    biases=(_BIASES[:3],),
    qkv_bias="qkv_bias",
    fixed=_FIXED | _ALL_MIXED | {"norm_topk_prob": (False,)},
    settings=(
        *_COUNTS,
        Count("expert_shared_feed_forward_length", "shared_expert_intermediate_size", size="shared_feed_forward"),
    ),
)
QWEN3_MOE: Final = Family(
    "qwen3moe",
    "qwen3_moe",
    "Qwen3MoeForCausalLM",
    layer=(*NORMS, *attention(interleaved=False), *HEAD_NORMS, *_EXPERTS),
    fixed=QWEN3.fixed | _ALL_MIXED | {"norm_topk_prob": (True,)},
    settings=_COUNTS,
)
