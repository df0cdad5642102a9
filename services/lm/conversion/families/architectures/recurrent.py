"""Families with something else in the place of attention.

Most layers of LFM2 have a short convolution there, those of Mamba a state for each channel.
"""

from typing import Final

from services.lm.conversion.families.family import EMBEDDING, Count, Dimensions, Family, Part, Setting

_CONVOLUTION: Final = "conv"
_ATTENTION: Final = "full_attention"


def _kinds_of_lfm2(sizes: Dimensions) -> dict[str, object]:
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
    more=_kinds_of_lfm2,
)


def _factor_of_mamba(sizes: Dimensions) -> dict[str, object]:
    return {"expand": sizes.size("inner") // sizes.hidden}


MAMBA: Final = Family(
    "mamba",
    "mamba",
    "MambaForCausalLM",
    layer=(
        Part("attn_norm.weight", "norm.weight", ("hidden",)),
        Part("ssm_in.weight", "mixer.in_proj.weight", ("two_inner", "hidden")),
        Part("ssm_conv1d.weight", "mixer.conv1d.weight", ("inner", "kernel"), form="second"),
        Part("ssm_conv1d.bias", "mixer.conv1d.bias", ("inner",)),
        Part("ssm_x.weight", "mixer.x_proj.weight", ("rank_and_states", "inner")),
        Part("ssm_dt.weight", "mixer.dt_proj.weight", ("inner", "rank")),
        Part("ssm_dt.bias", "mixer.dt_proj.bias", ("inner",)),
        Part("ssm_a", "mixer.A_log", ("inner", "state"), form="logarithm"),
        Part("ssm_d", "mixer.D", ("inner",)),
        Part("ssm_out.weight", "mixer.out_proj.weight", ("hidden", "inner")),
    ),
    frame=(
        Part("token_embd.weight", "backbone.embeddings.weight", ("vocabulary", "hidden")),
        Part("output_norm.weight", "backbone.norm_f.weight", ("hidden",)),
    ),
    epsilon=Setting("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
    fixed={"hidden_act": ("silu",), "use_conv_bias": (True,), "use_bias": (False,), "expand": (2,)},
    settings=(
        Count("ssm.conv_kernel", "conv_kernel", size="kernel"),
        Count("ssm.inner_size", "intermediate_size", size="inner"),
        Count("ssm.state_size", "state_size", size="state"),
        Count("ssm.time_step_rank", "time_step_rank", size="rank"),
    ),
    layers="backbone.layers",
    names=dict.fromkeys(("num_attention_heads", "num_key_value_heads", "head_dim", "attention_bias"), ""),
    is_rotary=False,
    has_attention=False,
    more=_factor_of_mamba,
)
