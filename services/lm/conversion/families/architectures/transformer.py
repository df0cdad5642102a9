"""GPT-2, BLOOM and Falcon, which make query, key and value by one matrix and name their layers `transformer.h`."""

from typing import Final, Literal

from services.lm.conversion.families.family import Dimensions, Family, Part, Setting

_EPSILON: Final = Setting("attention.layer_norm_epsilon", "layer_norm_epsilon")
_NOT_NAMED: Final = dict.fromkeys(("num_key_value_heads", "head_dim", "attention_bias", "mlp_bias"), "")


def _biased(
    gguf: str, folder: str, sizes: tuple[str, ...], form: Literal["", "transposed", "grouped"] = ""
) -> tuple[Part, ...]:
    """A matrix, or a norm, and its bias."""
    bias = Part(f"{gguf}.bias", f"{folder}.bias", sizes[:1], form="grouped" if form == "grouped" else "")
    return Part(f"{gguf}.weight", f"{folder}.weight", sizes, form=form), bias


GPT_2: Final = Family(
    "gpt2",
    "gpt2",
    "GPT2LMHeadModel",
    layer=(
        *_biased("attn_norm", "ln_1", ("hidden",)),
        *_biased("attn_qkv", "attn.c_attn", ("three_hidden", "hidden"), "transposed"),
        *_biased("attn_output", "attn.c_proj", ("hidden", "hidden"), "transposed"),
        *_biased("ffn_norm", "ln_2", ("hidden",)),
        *_biased("ffn_up", "mlp.c_fc", ("feed_forward", "hidden"), "transposed"),
        *_biased("ffn_down", "mlp.c_proj", ("hidden", "feed_forward"), "transposed"),
    ),
    frame=(
        Part("token_embd.weight", "transformer.wte.weight", ("vocabulary", "hidden")),
        Part("position_embd.weight", "transformer.wpe.weight", ("context", "hidden")),
        *_biased("output_norm", "transformer.ln_f", ("hidden",)),
    ),
    activation="gelu_new",
    epsilon=_EPSILON,
    fixed={
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
    },
    layers="transformer.h",
    names=_NOT_NAMED
    | {
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
        "hidden_act": "activation_function",
    },
    is_rotary=False,
)
BLOOM: Final = Family(
    "bloom",
    "bloom",
    "BloomForCausalLM",
    layer=(
        *_biased("attn_norm", "input_layernorm", ("hidden",)),
        *_biased("attn_qkv", "self_attention.query_key_value", ("three_hidden", "hidden"), "grouped"),
        *_biased("attn_output", "self_attention.dense", ("hidden", "hidden")),
        *_biased("ffn_norm", "post_attention_layernorm", ("hidden",)),
        *_biased("ffn_up", "mlp.dense_h_to_4h", ("four_hidden", "hidden")),
        *_biased("ffn_down", "mlp.dense_4h_to_h", ("hidden", "four_hidden")),
    ),
    frame=(
        Part("token_embd.weight", "transformer.word_embeddings.weight", ("vocabulary", "hidden")),
        *_biased("token_embd_norm", "transformer.word_embeddings_layernorm", ("hidden",)),
        *_biased("output_norm", "transformer.ln_f", ("hidden",)),
    ),
    epsilon=_EPSILON,
    fixed={"apply_residual_connection_post_layernorm": (False,)},
    layers="transformer.h",
    names=_NOT_NAMED
    | {
        "intermediate_size": "",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "seq_length",
        "hidden_act": "",
    },
    is_rotary=False,
)


def _attention_of_falcon(sizes: Dimensions) -> dict[str, object]:
    """Its first class has one head of keys, or as many as of queries; its second any number."""
    is_second = sizes.kv_heads not in (1, sizes.heads)
    return {
        "multi_query": sizes.kv_heads == 1,
        "new_decoder_architecture": is_second,
        **({"num_ln_in_parallel_attn": 1} if is_second else {}),
    }


# Falcon 7B and Falcon 2; those of 40B and 180B norm twice.
FALCON: Final = Family(
    "falcon",
    "falcon",
    "FalconForCausalLM",
    layer=(
        *_biased("attn_norm", "input_layernorm", ("hidden",)),
        Part("attn_qkv.weight", "self_attention.query_key_value.weight", ("joined", "hidden"), form="grouped"),
        Part("attn_output.weight", "self_attention.dense.weight", ("hidden", "hidden")),
        Part("ffn_up.weight", "mlp.dense_h_to_4h.weight", ("feed_forward", "hidden")),
        Part("ffn_down.weight", "mlp.dense_4h_to_h.weight", ("hidden", "feed_forward")),
    ),
    frame=(BLOOM.embedding, *BLOOM.frame[-2:]),
    activation="gelu",
    epsilon=_EPSILON,
    fixed={
        "activation": ("gelu",),
        "alibi": (False,),
        "bias": (False,),
        "parallel_attn": (True,),
        "num_ln_in_parallel_attn": (1, None),
    },
    layers="transformer.h",
    names=_NOT_NAMED
    | {"num_key_value_heads": "num_kv_heads", "intermediate_size": "ffn_hidden_size", "hidden_act": "activation"},
    more=_attention_of_falcon,
)
