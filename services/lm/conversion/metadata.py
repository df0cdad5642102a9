"""What a GGUF's metadata announce: the kind of file, and nothing that changes the computation and is not understood."""

from typing import Final

from services.lm.conversion.families.architectures.table import (
    ARCHITECTURES,
    family_of_architecture,
    what_instead,
    why_not,
)
from services.lm.conversion.families.family import OTHER_MODEL, Family
from services.lm.conversion.header import Header, Value
from services.lm.errors import InvalidModelFile

_ADAPTER: Final = (
    "It holds a LoRA adapter, not a model.",
    "Import the model that it was made for as GGUF or folder; an adapter comes as a PEFT folder "
    "(adapter_config.json and adapter_model.safetensors).",
)
_PROJECTOR: Final = (
    "It holds the part that looks at images or hears sound (mmproj), not the language model.",
    "Import the file of the language model, which lies beside it where it came from.",
)
_MATRIX: Final = (
    "It holds an importance matrix, which is made for quantising a model, and no model.",
    "Import the model's own file.",
)
_ENCODER: Final = ("It is a model that gives embeddings and writes no text.", OTHER_MODEL)
_DRAFT: Final = ("It is a draft head, which only guesses for another model.", "Import the model that it was made for.")
_DIFFUSION: Final = ("It is a diffusion model, which does not write token after token.", OTHER_MODEL)
_CONTROL: Final = ("It holds a control vector, not a model.", "Import the model that it was made for.")
_TYPES: Final = {"adapter": _ADAPTER, "mmproj": _PROJECTOR, "imatrix": _MATRIX}
_OTHERS: Final = {
    **dict.fromkeys(("clip", "mmproj"), _PROJECTOR),
    **dict.fromkeys(("imatrix",), _MATRIX),
    **dict.fromkeys(("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert"), _ENCODER),
    **dict.fromkeys(("jina-bert-v2", "jina-bert-v3", "gemma-embedding", "llama-embed", "t5encoder"), _ENCODER),
    **dict.fromkeys(("eagle", "eagle3", "dflash", "mtp", "medusa"), _DRAFT),
    **dict.fromkeys(("dream", "llada", "llada-moe", "rnd1"), _DIFFUSION),
    **dict.fromkeys(("flux", "sd1", "sd3", "sdxl", "wan", "lumina2", "qwen_image"), _DIFFUSION),
    "controlvector": _CONTROL,
}

# Read elsewhere, each in the place that its meaning has.
_UNDERSTOOD: Final = frozenset(
    {"block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size", "rope.freq_base"}
    | {"attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length"}
    | {"attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.scale_linear"}
    | {f"rope.scaling.{key}" for key in ("type", "factor", "attn_factor", "original_context_length", "finetuned")}
    | {f"rope.scaling.yarn_{key}" for key in ("beta_fast", "beta_slow", "ext_factor", "attn_factor", "log_multiplier")}
    # How the weights once lay; no reader acts on it.
    | {"tensor_data_layout"}
)
# Values that say "not so".
_NEUTRAL: Final[dict[str, tuple[Value, ...]]] = {
    "expert_count": (0,),
    "expert_used_count": (0,),
    "expert_shared_count": (0,),
    "expert_feed_forward_length": (0,),
    "nextn_predict_layers": (0,),
    "leading_dense_block_count": (0,),
    "pooling_type": (0,),
    "use_parallel_residual": (False,),
    "attention.causal": (True,),
    "attention.sliding_window": (0,),
    "attention.scale": (0,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attn_logit_softcapping": (0,),
    "final_logit_softcapping": (0,),
    "logit_scale": (0, 1),
    "residual_scale": (0, 1),
    "embedding_scale": (0, 1),
    "rope.scaling.alpha": (0, 1),
}
_VOCABULARY: Final = frozenset(
    {"model", "pre", "tokens", "token_type", "token_type_count", "scores", "merges"}
    | {"add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix"}
    # Of other kinds of tokenizers; no reader acts on them in byte-level BPE.
    | {"remove_extra_whitespaces", "precompiled_charsmap"}
    | {f"{name}_token_id" for name in ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask", "cls")}
    | {f"fim_{name}_token_id" for name in ("pre", "suf", "mid", "pad", "rep", "sep")}
    | {"prefix_token_id", "suffix_token_id", "middle_token_id"}
)


def check_metadata(header: Header) -> Family:
    """The family of a language model whose metadata are all understood.

    Raises:
        InvalidModelFile: It is another kind of file, another architecture, or asks for a computation that is not known.
    """
    name = header.text("general.architecture")
    _check_kind(header, name)
    if name not in ARCHITECTURES:
        problem = f"{why_not(name)} Those that are: {', '.join(ARCHITECTURES)}."
        raise InvalidModelFile(problem, what_instead(name), "general.architecture")
    if not header.tensors:
        raise InvalidModelFile("It holds metadata and a vocabulary, and no weights.", "Import the model's own file.")
    family = family_of_architecture(name, has_window=bool(header.metadata.get(f"{name}.attention.sliding_window")))
    for key, value in header.metadata.items():
        short = key.removeprefix(f"{name}.")
        if key.startswith(f"{name}.") and short not in family.understood:
            _check_computation(header, key, short, value)
        elif key.startswith("tokenizer.ggml.") and key.removeprefix("tokenizer.ggml.") not in _VOCABULARY and value:
            raise _not_understood(key, value)
    return family


def _check_kind(header: Header, name: str) -> None:
    kind = _TYPES.get(header.text("general.type")) or _OTHERS.get(name)
    if kind is None and any(key.startswith("adapter.") for key in header.metadata):
        kind = _ADAPTER
    if kind is None and any(key.startswith("imatrix.") for key in header.metadata):
        kind = _MATRIX
    if kind is None and header.metadata.get(f"{name}.pooling_type"):
        kind = _ENCODER
    if kind is not None:
        raise InvalidModelFile(*kind, header.files[0].name)


def _check_computation(header: Header, key: str, short: str, value: Value) -> None:
    if short in _UNDERSTOOD or value in _NEUTRAL.get(short, ()):
        return
    context = header.metadata.get(f"{header.text('general.architecture')}.context_length")
    is_wide = isinstance(value, int) and isinstance(context, int) and value >= context
    if short == "attention.sliding_window" and is_wide:
        return
    if short.startswith("expert_") or short == "nextn_predict_layers":
        raise InvalidModelFile(
            "The model is a mixture of experts or drafts ahead, which is not supported.", OTHER_MODEL, key
        )
    raise _not_understood(key, value)


def _not_understood(key: str, value: Value) -> InvalidModelFile:
    return InvalidModelFile(
        f"It asks for something that is not supported here ({str(value)[:40]}), and the model would compute otherwise.",
        OTHER_MODEL,
        key[:120],
    )
