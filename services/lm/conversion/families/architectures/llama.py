"""Llama, whose layers most families share; in GGUF the halves of its query and key heads are interleaved.

Mistral is the same to llama.cpp, and SmolLM3 turns only three of four layers by their positions;
Granite scales what it adds.
"""

from typing import Final

from services.lm.conversion.families.family import Family, Part, Setting


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
