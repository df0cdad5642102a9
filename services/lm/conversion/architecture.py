"""What a GGUF's metadata means in the folder form: the model's configuration and its tensors' names and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.lm.conversion.header import Header
from services.lm.errors import InvalidModelFile

Shape = tuple[int, ...]

_OTHER_MODEL: Final = "Choose a model of one of the supported kinds, or import it as a Hugging Face folder."
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


@dataclass(frozen=True)
class Target:
    """Where a GGUF tensor goes: its new name, the shape it must have, and the heads to un-interleave (0: none)."""

    name: str
    shape: Shape
    rotary_heads: int = 0


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

    def real(self, key: str, default: float) -> float:
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise InvalidModelFile(f"The number is {value!r}.", "Fetch the file again.", f"{self._architecture}.{key}")
        return float(value)


def architecture_of(header: Header) -> str:
    """The architecture's name, one of those that can be converted.

    Raises:
        InvalidModelFile: It is another one, or uses a position scaling that has no equivalent here.
    """
    name = header.text("general.architecture")
    if name not in _CLASSES:
        raise InvalidModelFile(
            f"The architecture {name[:40]!r} is not supported, only {', '.join(_CLASSES)} are.", _OTHER_MODEL
        )
    scaling = header.text(f"{name}.rope.scaling.type", "none")
    if scaling != "none" or any(tensor.name.startswith("rope_freqs") for tensor in header.tensors):
        raise InvalidModelFile(
            "The model scales its positions, which is not supported.", _OTHER_MODEL, f"{name}.rope.scaling"
        )
    return name


def dimensions_of(header: Header) -> Dimensions:
    """The sizes the metadata announces.

    Raises:
        InvalidModelFile: A size is absent, impossible, or doesn't fit another.
    """
    keys = _Keys(header, architecture_of(header))
    heads, hidden = keys.whole("attention.head_count"), keys.whole("embedding_length")
    head = keys.whole("attention.key_length", max(1, hidden // heads))
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    layers = keys.whole("block_count")
    kv_heads = keys.whole("attention.head_count_kv", heads)
    if heads % kv_heads or head % 2 or layers > _MAX_LAYERS:
        raise InvalidModelFile("The numbers of heads and layers do not fit each other.", "Fetch the file again.")
    vocabulary = len(tokens) if isinstance(tokens, list) else 0
    return Dimensions(layers, hidden, keys.whole("feed_forward_length"), heads, kv_heads, head, vocabulary)


def configuration_of(header: Header, dtype: str) -> dict[str, object]:
    """The `config.json` of the folder form."""
    name, sizes = architecture_of(header), dimensions_of(header)
    keys = _Keys(header, name)
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
        "rms_norm_eps": keys.real("attention.layer_norm_rms_epsilon", 1e-5),
        "rope_theta": keys.real("rope.freq_base", 10000.0),
        "attention_bias": "blk.0.attn_q.bias" in {tensor.name for tensor in header.tensors},
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in header.tensors),
        "dtype": dtype,
    }


def targets_of(header: Header) -> dict[str, Target]:
    """Each GGUF tensor name with where it goes; exactly the tensors of the file, each of the right shape.

    Raises:
        InvalidModelFile: A tensor is missing, unknown, or has another shape than the metadata announces.
    """
    expected = _expected(header)
    actual = {tensor.name: tensor.shape for tensor in header.tensors}
    for name, target in expected.items():
        if name not in actual:
            raise InvalidModelFile("The tensor is missing.", "Fetch the file again.", f"tensor {name!r}")
        if actual[name] != target.shape:
            raise InvalidModelFile(
                f"Its shape is {actual[name]}, the metadata asks for {target.shape}.",
                "Fetch the file again.",
                f"tensor {name!r}",
            )
    unknown = next((name for name in actual if name not in expected), None)
    if unknown is not None:
        raise InvalidModelFile(
            "The model has a tensor of an unknown purpose.", _OTHER_MODEL, f"tensor {unknown[:80]!r}"
        )
    return expected


def _expected(header: Header) -> dict[str, Target]:
    sizes = dimensions_of(header)
    table = (sizes.vocabulary, sizes.hidden)
    expected = {
        "token_embd.weight": Target("model.embed_tokens.weight", table),
        "output_norm.weight": Target("model.norm.weight", (sizes.hidden,)),
    }
    names = {tensor.name for tensor in header.tensors}
    if "output.weight" in names:
        expected["output.weight"] = Target("lm_head.weight", table)
    rotary = architecture_of(header) == "llama"
    optional = {"attn_q_norm.weight", "attn_k_norm.weight", "attn_q.bias", "attn_k.bias", "attn_v.bias"}
    for layer in range(sizes.layers):
        for part, target in _layer(sizes, rotary).items():
            if part not in optional or f"blk.{layer}.{part}" in names:
                name = f"model.layers.{layer}.{target.name}"
                expected[f"blk.{layer}.{part}"] = Target(name, target.shape, target.rotary_heads)
    return expected


def _layer(sizes: Dimensions, rotary: bool) -> dict[str, Target]:
    hidden, feed = sizes.hidden, sizes.feed_forward
    queries, keys = sizes.heads * sizes.head, sizes.kv_heads * sizes.head
    q_heads, k_heads = (sizes.heads, sizes.kv_heads) if rotary else (0, 0)
    return {
        "attn_norm.weight": Target("input_layernorm.weight", (hidden,)),
        "ffn_norm.weight": Target("post_attention_layernorm.weight", (hidden,)),
        "attn_q.weight": Target("self_attn.q_proj.weight", (queries, hidden), q_heads),
        "attn_k.weight": Target("self_attn.k_proj.weight", (keys, hidden), k_heads),
        "attn_v.weight": Target("self_attn.v_proj.weight", (keys, hidden)),
        "attn_q.bias": Target("self_attn.q_proj.bias", (queries,), q_heads),
        "attn_k.bias": Target("self_attn.k_proj.bias", (keys,), k_heads),
        "attn_v.bias": Target("self_attn.v_proj.bias", (keys,)),
        "attn_q_norm.weight": Target("self_attn.q_norm.weight", (sizes.head,)),
        "attn_k_norm.weight": Target("self_attn.k_norm.weight", (sizes.head,)),
        "attn_output.weight": Target("self_attn.o_proj.weight", (hidden, queries)),
        "ffn_gate.weight": Target("mlp.gate_proj.weight", (feed, hidden)),
        "ffn_up.weight": Target("mlp.up_proj.weight", (feed, hidden)),
        "ffn_down.weight": Target("mlp.down_proj.weight", (hidden, feed)),
    }
