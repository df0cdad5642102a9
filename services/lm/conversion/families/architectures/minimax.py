"""MiniMax M2, whose experts are chosen by sigmoids with a bias of each."""

from typing import Final

from services.lm.conversion.families.architectures.llama import NORMS, attention
from services.lm.conversion.families.family import Count, Family, Part

_SIGMOID: Final = 2

MINIMAX_M2: Final = Family(
    "minimax-m2",
    "minimax_m2",
    "MiniMaxM2ForCausalLM",
    layer=(
        *NORMS,
        *attention(interleaved=False),
        Part("attn_q_norm.weight", "self_attn.q_norm.weight", ("queries",)),
        Part("attn_k_norm.weight", "self_attn.k_norm.weight", ("keys",)),
        Part("ffn_gate_inp.weight", "block_sparse_moe.gate.weight", ("experts", "hidden")),
        Part("exp_probs_b.bias", "block_sparse_moe.e_score_correction_bias", ("experts",)),
        Part("ffn_gate_exps.weight", "block_sparse_moe.experts.{}.w1.weight", ("experts", "feed_forward", "hidden")),
        Part("ffn_up_exps.weight", "block_sparse_moe.experts.{}.w3.weight", ("experts", "feed_forward", "hidden")),
        Part("ffn_down_exps.weight", "block_sparse_moe.experts.{}.w2.weight", ("experts", "hidden", "feed_forward")),
    ),
    fixed={"hidden_act": ("silu",)},
    settings=(
        Count("expert_count", "num_local_experts", size="experts"),
        Count("expert_used_count", "num_experts_per_tok"),
        Count("expert_feed_forward_length", "intermediate_size", size="feed_forward"),
    ),
    turns_part=True,
    constants={"expert_gating_func": _SIGMOID},
)
