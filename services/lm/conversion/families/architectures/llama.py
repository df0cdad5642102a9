"""Llama, whose layers most families share; in GGUF the halves of its query and key heads are interleaved.

Mistral is the same to llama.cpp, and SmolLM3 turns only three of four layers by their positions;
Granite scales what it adds. Phi-3 and Phi-4 make query, key and value by one matrix, and both factors of the
feed-forward layer too. OLMo's norms have no weights, and OLMo 2 and 3 norm what a layer adds. MiniMax M2's experts are
chosen by sigmoids with a bias of each.
"""

from typing import Final

from services.lm.conversion.families.family import EMBEDDING, Count, Family, Part, Setting, Windows


def attention(*, interleaved: bool) -> tuple[Part, ...]:
    """The four matrices of attention."""
    heads, kv_heads = ("heads", "kv_heads") if interleaved else ("", "")
    return (
        Part("attn_q.weight", "self_attn.q_proj.weight", ("queries", "hidden"), heads),
        Part("attn_k.weight", "self_attn.k_proj.weight", ("keys", "hidden"), kv_heads),
        Part("attn_v.weight", "self_attn.v_proj.weight", ("keys", "hidden")),
        Part("attn_output.weight", "self_attn.o_proj.weight", ("hidden", "queries")),
    )


def attention_biases(*, interleaved: bool) -> tuple[Part, ...]:
    """Their biases."""
    heads, kv_heads = ("heads", "kv_heads") if interleaved else ("", "")
    return (
        Part("attn_q.bias", "self_attn.q_proj.bias", ("queries",), heads),
        Part("attn_k.bias", "self_attn.k_proj.bias", ("keys",), kv_heads),
        Part("attn_v.bias", "self_attn.v_proj.bias", ("keys",)),
        Part("attn_output.bias", "self_attn.o_proj.bias", ("hidden",)),
    )


FEED_FORWARD: Final = (
    Part("ffn_gate.weight", "mlp.gate_proj.weight", ("feed_forward", "hidden")),
    Part("ffn_up.weight", "mlp.up_proj.weight", ("feed_forward", "hidden")),
    Part("ffn_down.weight", "mlp.down_proj.weight", ("hidden", "feed_forward")),
)
FEED_FORWARD_BIASES: Final = (
    Part("ffn_gate.bias", "mlp.gate_proj.bias", ("feed_forward",)),
    Part("ffn_up.bias", "mlp.up_proj.bias", ("feed_forward",)),
    Part("ffn_down.bias", "mlp.down_proj.bias", ("hidden",)),
)
NORMS: Final = (
    Part("attn_norm.weight", "input_layernorm.weight", ("hidden",)),
    Part("ffn_norm.weight", "post_attention_layernorm.weight", ("hidden",)),
)

LLAMA: Final = Family(
    "llama",
    "llama",
    "LlamaForCausalLM",
    layer=(*NORMS, *attention(interleaved=True), *FEED_FORWARD),
    biases=(attention_biases(interleaved=True), FEED_FORWARD_BIASES),
    has_frequency_table=True,
    fixed={"hidden_act": ("silu",)},
)
MISTRAL: Final = Family(
    "llama",
    "mistral",
    "MistralForCausalLM",
    layer=LLAMA.layer,
    ignores_window=True,
    has_frequency_table=True,
    fixed=LLAMA.fixed,
)
SMOLLM3: Final = Family(
    "smollm3",
    "smollm3",
    "SmolLM3ForCausalLM",
    layer=LLAMA.layer,
    fixed={
        "hidden_act": ("silu",),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "use_sliding_window": (False, None),
    },
    no_rope_period=4,
)
GRANITE: Final = Family(
    "granite",
    "granite",
    "GraniteForCausalLM",
    layer=LLAMA.layer,
    fixed={"hidden_act": ("silu",), "attention_bias": (False,), "mlp_bias": (False,)},
    settings=(
        Setting("attention.scale", "attention_multiplier", is_needed=True),
        Setting("embedding_scale", "embedding_multiplier"),
        Setting("residual_scale", "residual_multiplier"),
        Setting("logit_scale", "logits_scaling", is_needed=True),
    ),
)


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


_OLMO_FIXED: Final = {"hidden_act": ("silu",), "attention_bias": (False,)}
_OLMO_LAYER: Final = (
    *attention(interleaved=False),
    Part("attn_q_norm.weight", "self_attn.q_norm.weight", ("queries",)),
    Part("attn_k_norm.weight", "self_attn.k_norm.weight", ("keys",)),
    Part("post_attention_norm.weight", "post_attention_layernorm.weight", ("hidden",)),
    *FEED_FORWARD,
    Part("post_ffw_norm.weight", "post_feedforward_layernorm.weight", ("hidden",)),
)

OLMO: Final = Family(
    "olmo",
    "olmo",
    "OlmoForCausalLM",
    layer=(*attention(interleaved=True), *FEED_FORWARD),
    frame=(EMBEDDING,),
    epsilon=Setting("attention.layer_norm_epsilon", "", 1e-5),
    fixed=_OLMO_FIXED,
    settings=(Setting("attention.clamp_kqv", "clip_qkv"),),
)
OLMO2: Final = Family("olmo2", "olmo2", "Olmo2ForCausalLM", layer=_OLMO_LAYER, head="always", fixed=_OLMO_FIXED)
OLMO3: Final = Family(
    "olmo2",
    "olmo3",
    "Olmo3ForCausalLM",
    layer=_OLMO_LAYER,
    head="always",
    fixed=_OLMO_FIXED,
    windows=Windows(4, local_theta=None),
)


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
