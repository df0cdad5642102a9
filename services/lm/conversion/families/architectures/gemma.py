"""Gemma 1 to 3 (text), whose norms a folder stores as their difference from one; from 2 on four a layer."""

from dataclasses import replace
from typing import Final

from services.lm.conversion.families.architectures.llama import FEED_FORWARD, NORMS, attention
from services.lm.conversion.families.family import EMBEDDING, Family, Part, Setting, Windows

_LAYER: Final = (
    Part("attn_norm.weight", "input_layernorm.weight", ("hidden",), shift=1),
    *attention(interleaved=False),
    Part("post_attention_norm.weight", "post_attention_layernorm.weight", ("hidden",), shift=1),
    Part("ffn_norm.weight", "pre_feedforward_layernorm.weight", ("hidden",), shift=1),
    *FEED_FORWARD,
    Part("post_ffw_norm.weight", "post_feedforward_layernorm.weight", ("hidden",), shift=1),
)
_FRAME: Final = (EMBEDDING, Part("output_norm.weight", "model.norm.weight", ("hidden",), shift=1))
_ACTIVATION: Final = "gelu_pytorch_tanh"
_FIXED: Final = {
    "hidden_activation": (_ACTIVATION,),
    "attention_bias": (False,),
    "use_bidirectional_attention": (False, None),
}

GEMMA: Final = Family(
    "gemma",
    "gemma",
    "GemmaForCausalLM",
    layer=(*(replace(norm, shift=1) for norm in NORMS), *attention(interleaved=False), *FEED_FORWARD),
    frame=_FRAME,
    head="never",
    activation=_ACTIVATION,
    fixed={"hidden_act": (_ACTIVATION,), "attention_bias": (False,), "use_bidirectional_attention": (False, None)},
)
GEMMA2: Final = Family(
    "gemma2",
    "gemma2",
    "Gemma2ForCausalLM",
    layer=_LAYER,
    frame=_FRAME,
    head="never",
    activation=_ACTIVATION,
    scales_queries=True,
    fixed=_FIXED,
    settings=(
        Setting("attn_logit_softcapping", "attn_logit_softcapping", 50.0),
        Setting("final_logit_softcapping", "final_logit_softcapping", 30.0),
    ),
    windows=Windows(2, default=4096),
    wide_layers=46,
)
GEMMA3: Final = Family(
    "gemma3",
    "gemma3_text",
    "Gemma3ForCausalLM",
    layer=(
        *_LAYER,
        Part("attn_q_norm.weight", "self_attn.q_norm.weight", ("head",), shift=1),
        Part("attn_k_norm.weight", "self_attn.k_norm.weight", ("head",), shift=1),
    ),
    frame=_FRAME,
    activation=_ACTIVATION,
    scales_queries=True,
    fixed=_FIXED | {"attn_logit_softcapping": (None,), "final_logit_softcapping": (None,)},
    windows=Windows(6, local_theta=10000.0),
    wide_layers=62,
)
