"""LFM2, most of whose layers have a short convolution in the place of attention."""

from typing import Final

from services.lm.conversion.families.family import EMBEDDING, Count, Dimensions, Family, Part, Setting

_CONVOLUTION: Final = "conv"
_ATTENTION: Final = "full_attention"


def _kinds(sizes: Dimensions) -> dict[str, object]:
    return {"layer_types": list(sizes.layer_kinds), "conv_bias": False, "block_auto_adjust_ff_dim": False}


LFM2: Final = Family(
    "lfm2",
    "lfm2",
    "Lfm2ForCausalLM",
    layer=(
        Part("attn_norm.weight", "operator_norm.weight", ("hidden",)),
        Part("shortconv.conv.weight", "conv.conv.weight", ("hidden", "kernel"), form="second", layers=_CONVOLUTION),
        Part("shortconv.in_proj.weight", "conv.in_proj.weight", ("three_hidden", "hidden"), layers=_CONVOLUTION),
        Part("shortconv.out_proj.weight", "conv.out_proj.weight", ("hidden", "hidden"), layers=_CONVOLUTION),
        Part("attn_q.weight", "self_attn.q_proj.weight", ("queries", "hidden"), layers=_ATTENTION),
        Part("attn_k.weight", "self_attn.k_proj.weight", ("keys", "hidden"), layers=_ATTENTION),
        Part("attn_v.weight", "self_attn.v_proj.weight", ("keys", "hidden"), layers=_ATTENTION),
        Part("attn_output.weight", "self_attn.out_proj.weight", ("hidden", "queries"), layers=_ATTENTION),
        Part("attn_q_norm.weight", "self_attn.q_layernorm.weight", ("head",), layers=_ATTENTION),
        Part("attn_k_norm.weight", "self_attn.k_layernorm.weight", ("head",), layers=_ATTENTION),
        Part("ffn_norm.weight", "ffn_norm.weight", ("hidden",)),
        Part("ffn_gate.weight", "feed_forward.w1.weight", ("feed_forward", "hidden")),
        Part("ffn_up.weight", "feed_forward.w3.weight", ("feed_forward", "hidden")),
        Part("ffn_down.weight", "feed_forward.w2.weight", ("hidden", "feed_forward")),
    ),
    frame=(EMBEDDING, Part("token_embd_norm.weight", "model.embedding_norm.weight", ("hidden",))),
    epsilon=Setting("attention.layer_norm_rms_epsilon", "norm_eps"),
    fixed={"conv_bias": (False,)},
    settings=(Count("shortconv.l_cache", "conv_L_cache", size="kernel"),),
    names={"hidden_act": "", "attention_bias": "", "intermediate_size": "intermediate_size"},
    more=_kinds,
)
