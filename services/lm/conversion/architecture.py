"""The model's configuration in the folder form, from what a GGUF's metadata and tensors say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.lm.conversion.header import Header
from services.lm.conversion.metadata import OTHER_MODEL, check_metadata
from services.lm.conversion.positions import position_scaling
from services.lm.conversion.vocabulary.tokens import token_texts
from services.lm.errors import InvalidModelFile

_CLASSES: Final = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_MAX_LAYERS: Final = 1024


@dataclass(frozen=True)
class Dimensions:
    """The sizes that the tensors must have."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int


class _Keys:
    """Numbers under `<architecture>.…`, refused when absent or of the wrong type."""

    def __init__(self, header: Header, architecture: str) -> None:
        self._metadata = header.metadata
        self._architecture = architecture

    def whole(self, key: str, default: int | None = None) -> int:
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 24:
            raise InvalidModelFile(f"The size is {value!r}.", "Fetch the file again.", f"{self._architecture}.{key}")
        return value

    def alike(self, key: str, default: int | None = None) -> int:
        """A number that some files tell for each layer."""
        value = self._metadata.get(f"{self._architecture}.{key}")
        if not isinstance(value, list):
            return self.whole(key, default)
        if len(set(value)) != 1 or not isinstance(value[0], int):
            raise InvalidModelFile("Its layers differ from each other.", OTHER_MODEL, f"{self._architecture}.{key}")
        return value[0]

    def real(self, key: str, default: float | None = None) -> float:
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise InvalidModelFile(f"The number is {value!r}.", "Fetch the file again.", f"{self._architecture}.{key}")
        return float(value)


def dimensions_of(header: Header) -> Dimensions:
    """The sizes the metadata announces.

    Raises:
        InvalidModelFile: It is no model of a supported kind, or a size is absent, impossible, or doesn't fit another.
    """
    keys = _Keys(header, check_metadata(header))
    layers = keys.whole("block_count")
    heads, hidden = keys.alike("attention.head_count"), keys.whole("embedding_length")
    kv_heads = keys.alike("attention.head_count_kv", heads)
    head = keys.whole("attention.key_length", max(1, hidden // heads))
    if heads % kv_heads or head % 2 or layers > _MAX_LAYERS:
        raise InvalidModelFile("The numbers of heads and layers do not fit each other.", "Fetch the file again.")
    if keys.whole("attention.value_length", head) != head:
        raise InvalidModelFile("Its keys and values have different lengths, which is not supported.", OTHER_MODEL)
    feed_forward = keys.alike("feed_forward_length")
    return Dimensions(layers, hidden, feed_forward, heads, kv_heads, head, len(token_texts(header)))


def configuration_of(header: Header, dtype: str) -> dict[str, object]:
    """The `config.json` of the folder form."""
    name, sizes = check_metadata(header), dimensions_of(header)
    keys = _Keys(header, name)
    theta = keys.real("rope.freq_base", 10000.0)
    scaling = position_scaling(header, name, sizes.head, theta)
    names = {tensor.name for tensor in header.tensors}
    return {
        "architectures": [_CLASSES[name]],
        "model_type": name,
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.feed_forward,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head,
        "hidden_act": "silu",
        "max_position_embeddings": keys.whole("context_length"),
        "rms_norm_eps": keys.real("attention.layer_norm_rms_epsilon"),
        "rope_theta": theta,
        **({"rope_scaling": scaling} if scaling else {}),
        "attention_bias": any(name.startswith("blk.0.attn_") and name.endswith(".bias") for name in names),
        **(
            {"mlp_bias": True}
            if any(name.startswith("blk.0.ffn_") and name.endswith(".bias") for name in names)
            else {}
        ),
        "tie_word_embeddings": "output.weight" not in names,
        "dtype": dtype,
    }
