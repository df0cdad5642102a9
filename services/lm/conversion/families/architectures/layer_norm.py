"""StarCoder2, StableLM and Nemotron, whose norms subtract the mean and have biases."""

from typing import Final

from services.lm.conversion.families.architectures.llama import FEED_FORWARD, attention, attention_biases
from services.lm.conversion.families.family import EMBEDDING, Family, Part, Setting

_EPSILON: Final = "attention.layer_norm_epsilon"


def _norms(shift: int = 0) -> tuple[Part, ...]:
    return (
        Part("attn_norm.weight", "input_layernorm.weight", ("hidden",), shift=shift),
        Part("attn_norm.bias", "input_layernorm.bias", ("hidden",)),
        Part("ffn_norm.weight", "post_attention_layernorm.weight", ("hidden",), shift=shift),
        Part("ffn_norm.bias", "post_attention_layernorm.bias", ("hidden",)),
    )


def _frame(shift: int = 0) -> tuple[Part, ...]:
    return (
        EMBEDDING,
        Part("output_norm.weight", "model.norm.weight", ("hidden",), shift=shift),
        Part("output_norm.bias", "model.norm.bias", ("hidden",)),
    )


STARCODER2: Final = Family(
    "starcoder2",
    "starcoder2",
    "Starcoder2ForCausalLM",
    layer=(
        *_norms(),
        *attention(interleaved=False),
        *attention_biases(interleaved=False),
        Part("ffn_up.weight", "mlp.c_fc.weight", ("feed_forward", "hidden")),
        Part("ffn_up.bias", "mlp.c_fc.bias", ("feed_forward",)),
        Part("ffn_down.weight", "mlp.c_proj.weight", ("hidden", "feed_forward")),
        Part("ffn_down.bias", "mlp.c_proj.bias", ("hidden",)),
    ),
    frame=_frame(),
    activation="gelu_pytorch_tanh",
    epsilon=Setting(_EPSILON, "norm_epsilon"),
    fixed={"hidden_act": ("gelu_pytorch_tanh",), "use_bias": (True,)},
    ignores_window=True,
)
STABLELM: Final = Family(
    "stablelm",
    "stablelm",
    "StableLmForCausalLM",
    layer=(*_norms(), *attention(interleaved=False), *FEED_FORWARD),
    biases=(attention_biases(interleaved=False)[:3],),
    frame=_frame(),
    head="always",
    epsilon=Setting(_EPSILON, "layer_norm_eps"),
    qkv_bias="use_qkv_bias",
    fixed={"hidden_act": ("silu",), "qk_layernorm": (False,), "use_parallel_residual": (False,)},
    turns_part=True,
)
NEMOTRON: Final = Family(
    "nemotron",
    "nemotron",
    "NemotronForCausalLM",
    layer=(
        *_norms(shift=1),
        *attention(interleaved=False),
        Part("ffn_up.weight", "mlp.up_proj.weight", ("feed_forward", "hidden")),
        Part("ffn_down.weight", "mlp.down_proj.weight", ("hidden", "feed_forward")),
    ),
    frame=_frame(shift=1),
    head="always",
    activation="relu2",
    epsilon=Setting(_EPSILON, "norm_eps"),
    fixed={"hidden_act": ("relu2",), "attention_bias": (False,), "mlp_bias": (False,)},
    turns_part=True,
)
