"""Mamba, which has a state for each channel in the place of attention."""

from typing import Final

from services.lm.conversion.families.family import Count, Dimensions, Family, Part, Setting


def _inner(sizes: Dimensions) -> dict[str, object]:
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
    more=_inner,
)
