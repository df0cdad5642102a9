"""The model's configuration in the folder form, from what a GGUF's metadata and tensors say."""

import math
from typing import Final

from services.lm.conversion.families.family import HEAD, OTHER_MODEL, Count, Dimensions, Family
from services.lm.conversion.families.fit import check_fit
from services.lm.conversion.families.keys import Keys
from services.lm.conversion.families.positions import read_positions
from services.lm.conversion.families.windows import read_windows
from services.lm.conversion.header import Header
from services.lm.conversion.metadata import check_metadata
from services.lm.conversion.vocabulary.tokens import token_texts
from services.lm.errors import InvalidModelFile

_MAX_LAYERS: Final = 1024
_EXPERTS_USED: Final = "expert_used_count"
_FETCH_AGAIN: Final = "Fetch the file again."


def dimensions_of(header: Header) -> Dimensions:
    """The sizes the metadata announces.

    Raises:
        InvalidModelFile: It is no model of a supported kind, or a size is absent, impossible, or doesn't fit another.
    """
    family = check_metadata(header)
    keys = Keys(header, family.architecture)
    layers = keys.whole("block_count")
    if layers > _MAX_LAYERS:
        raise InvalidModelFile(f"It announces {layers} layers, more than the {_MAX_LAYERS} allowed.", _FETCH_AGAIN)
    heads, hidden = keys.alike("attention.head_count") if family.has_attention else 1, keys.whole("embedding_length")
    by_layer = keys.by_layer("attention.head_count_kv", heads, layers) if family.has_kinds else []
    kv_heads = (
        max(by_layer) if by_layer else keys.alike("attention.head_count_kv", heads) if family.has_attention else 1
    )
    head = keys.whole("attention.key_length", max(1, hidden // heads))
    if head % 2 or {*by_layer} - {0, kv_heads}:
        raise InvalidModelFile("The numbers of heads and layers do not fit each other.", _FETCH_AGAIN)
    if keys.whole("attention.value_length", head) != head:
        raise InvalidModelFile("Its keys and values have different lengths, which is not supported.", OTHER_MODEL)
    feed_forward = keys.alike("feed_forward_length") if family.has_attention else hidden
    more = {setting.size: keys.whole(setting.key) for setting in family.settings if setting.size}
    kinds = tuple("full_attention" if count else "conv" for count in by_layer)
    context, vocabulary = keys.whole("context_length"), len(token_texts(header))
    sizes = Dimensions(layers, hidden, feed_forward, heads, kv_heads, head, vocabulary, context, kinds, more)
    check_fit(family, sizes, _FETCH_AGAIN)
    return sizes


def configuration_of(header: Header, dtype: str) -> dict[str, object]:
    """The `config.json` of the folder form."""
    family, sizes = check_metadata(header), dimensions_of(header)
    keys = Keys(header, family.architecture)
    names = {tensor.name for tensor in header.tensors}
    config = {
        "architectures": [family.class_name],
        "model_type": family.model_type,
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.feed_forward,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head,
        "hidden_act": family.activation,
        "max_position_embeddings": sizes.context,
        **_norms(keys, family),
        **read_positions(keys, header, family, sizes),
        **read_windows(keys, family, sizes),
        **_specials(keys, family, sizes),
        family.qkv_bias: _has_biases(names, "attn_q", "attn_k", "attn_v", "attn_output"),
        **({"mlp_bias": True} if _has_biases(names, "ffn_gate", "ffn_up", "ffn_down") else {}),
        "tie_word_embeddings": HEAD.gguf not in names,
        "dtype": dtype,
    }
    renamed = {family.names.get(name, name): value for name, value in config.items()}
    return {name: value for name, value in (renamed | family.more(sizes)).items() if name}


def _norms(keys: Keys, family: Family) -> dict[str, object]:
    key, name, default = family.epsilon.key, family.epsilon.name, family.epsilon.default
    epsilon = keys.real(key)
    if name:
        return {name: epsilon}
    if not math.isclose(epsilon, default or 0.0, rel_tol=1e-6):
        raise keys.refused(key, f"It is {epsilon:g}, the class has {default:g}")
    return {}


def _specials(keys: Keys, family: Family, sizes: Dimensions) -> dict[str, object]:
    """What only some families have."""
    config: dict[str, object] = {}
    for key, constant in family.constants.items():
        keys.check(key, constant)
    for setting in family.settings:
        if isinstance(setting, Count):
            config[setting.name] = keys.whole(setting.key)
            continue
        default = None if setting.is_needed else setting.default or 0.0
        value = keys.real(setting.key, default, may_be_zero=setting.default is None)
        config |= {setting.name: value} if value else {}
    if family.scales_queries:
        config |= {"hidden_activation": family.activation, "query_pre_attn_scalar": family.query_scalar(sizes)}
    if family.no_rope_period:
        pattern = [int((layer + 1) % family.no_rope_period != 0) for layer in range(sizes.layers)]
        config |= {"no_rope_layer_interval": family.no_rope_period, "no_rope_layers": pattern}
    if family.is_mixture:
        if keys.whole(_EXPERTS_USED) > sizes.size("experts"):
            raise keys.refused(_EXPERTS_USED, "Each token asks for more experts than there are")
        config |= {name: values[0] for name, values in family.fixed.items()}
    return config


def _has_biases(names: set[str], *parts: str) -> bool:
    return any(f"blk.0.{part}.bias" in names for part in parts)
