"""OLMo, whose norms have no weights, and OLMo 2 and 3, which norm what a layer adds."""

from typing import Final

from services.lm.conversion.families.architectures.llama import FEED_FORWARD, attention
from services.lm.conversion.families.family import EMBEDDING, Family, Part, Setting, Windows

_FIXED: Final = {"hidden_act": ("silu",), "attention_bias": (False,)}
_LAYER: Final = (
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
    fixed=_FIXED,
    settings=(Setting("attention.clamp_kqv", "clip_qkv"),),
)
OLMO2: Final = Family("olmo2", "olmo2", "Olmo2ForCausalLM", layer=_LAYER, head="always", fixed=_FIXED)
OLMO3: Final = Family(
    "olmo2",
    "olmo3",
    "Olmo3ForCausalLM",
    layer=_LAYER,
    head="always",
    fixed=_FIXED,
    windows=Windows(4, local_theta=None),
)
