"""What an architecture consists of: one description, by which models are read from GGUF and written to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Shape = tuple[int, ...]
# Key, value and the name of its type in GGUF.
Entry = tuple[str, object, str]

OTHER_MODEL: Final = "Choose a model of one of the supported kinds, or import it as a Hugging Face folder."
FOLDER_FORMS: Final = "Export it as an adapter, as a merged folder or to Hugging Face or OCI instead."


@dataclass(frozen=True)
class Dimensions:
    """The sizes that the tensors have.

    Attributes:
        layer_kinds: The kind of each layer, where they differ.
        more: Sizes that only some families have, by name.
    """

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    context: int
    layer_kinds: tuple[str, ...] = ()
    more: dict[str, int] = field(default_factory=dict)

    def size(self, name: str) -> int:
        """One of them by its name, or what follows from them: rows of all heads, and of matrices that are joined."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        derived = {"queries": queries, "keys": keys, "joined": queries + 2 * keys, "gate_and_up": 2 * self.feed_forward}
        derived |= {"three_hidden": 3 * self.hidden, "four_hidden": 4 * self.hidden, **self.more}
        if "inner" in self.more:
            derived["two_inner"] = 2 * self.more["inner"]
            derived["rank_and_states"] = self.more["rank"] + 2 * self.more["state"]
        return derived[name] if name in derived else int(getattr(self, name))


@dataclass(frozen=True)
class Part:
    """One tensor in both forms.

    Attributes:
        gguf: Its name in GGUF, behind that of its layer.
        folder: Its name in a folder, behind that of its layer; with a place for a number where each expert has its own.
        sizes: Its shape, by the names that `Dimensions` has for them.
        heads: The name of the count of heads whose halves GGUF interleaves, for its way of turning pairs; "" for none.
        shift: What GGUF adds to each number: norms that a class stores as their difference from one.
        form: How a folder has it: "transposed"; "grouped" by heads of keys, each with its queries, key and value;
            "first" or "second" for an axis of size one that GGUF leaves out; or the "logarithm" of what GGUF negates.
        layers: The kind of the layers that have it; "" for all.
    """

    gguf: str
    folder: str
    sizes: tuple[str, ...]
    heads: str = ""
    shift: int = 0
    form: Literal["", "transposed", "grouped", "first", "second", "logarithm"] = ""
    layers: str = ""

    def shape(self, dimensions: Dimensions) -> Shape:
        """The shape that it has in GGUF, of a model of these dimensions."""
        return tuple(dimensions.size(name) for name in self.sizes)

    def folder_shape(self, dimensions: Dimensions) -> Shape:
        """The shape that it has in a folder."""
        shape = self.shape(dimensions)
        forms = {"transposed": shape[::-1], "first": (1, *shape), "second": (shape[0], 1, *shape[1:])}
        return forms.get(self.form, shape)


EMBEDDING: Final = Part("token_embd.weight", "model.embed_tokens.weight", ("vocabulary", "hidden"))
NORM: Final = Part("output_norm.weight", "model.norm.weight", ("hidden",))
HEAD: Final = Part("output.weight", "lm_head.weight", ("vocabulary", "hidden"))


@dataclass(frozen=True)
class Setting:
    """A number that both forms have.

    Attributes:
        key: Its name in GGUF, behind that of the architecture.
        name: Its name in `config.json`.
        default: What it is where a file doesn't name it; None if nothing is done then.
        is_needed: A file without it is refused.
        size: Its name in `Dimensions`, where tensors have a size by it.
    """

    key: str
    name: str
    default: float | None = None
    is_needed: bool = False
    size: str = ""


@dataclass(frozen=True)
class Count(Setting):
    """A whole number that both forms have, and that a file has to name."""

    is_needed: bool = True


RMS_EPSILON: Final = Setting("attention.layer_norm_rms_epsilon", "rms_norm_eps")


@dataclass(frozen=True)
class Windows:
    """Layers that see only the last tokens, all but the last of every few.

    Attributes:
        period: Of as many layers the last sees all tokens.
        default: The window where a file names none; 0 if all layers see all tokens then.
        local_theta: The base of positions in the layers with a window; 0 where all layers turn alike, and None where
            the others alone may be scaled.
    """

    period: int
    default: int = 0
    local_theta: float | None = 0

    def layer_types(self, layers: int) -> list[str]:
        """The kind of each layer, in transformers' words."""
        return ["full_attention" if (layer + 1) % self.period == 0 else "sliding_attention" for layer in range(layers)]


@dataclass(frozen=True)
class Family:
    """One architecture of GGUF and the class of transformers that computes the same.

    Attributes:
        architecture: `general.architecture` of its files.
        model_type: That of its `config.json`.
        class_name: The class in transformers.
        layer: The tensors of each layer.
        biases: Groups of tensors that the class has whole or not at all.
        always_biased: The class has its biases also where a file has none.
        frame: The tensors outside the layers, without the head.
        head: Whether llama.cpp reads a head: where there is one, "always" or "never".
        activation: That of its feed-forward layers.
        epsilon: What its norms add; a class that has no name for it has the default alone.
        scales_queries: `config.json` says by what the queries are scaled.
        qkv_bias: The name that says whether query, key and value have biases.
        fixed: By name in `config.json`: the only values that GGUF can express.
        settings: Further numbers.
        windows: Which layers have a window.
        ignores_window: llama.cpp knows no window for it, so that a file must not be longer than one.
        has_frequency_table: A table may say how its positions are scaled.
        has_long_factors: Two tables may say it, one for short texts and one for long ones.
        turns_part: A part of each head may be turned by its position.
        no_rope_period: The last of as many layers is not turned by its position.
        wide_layers: As many layers divide their queries by the root of hidden size over heads; 0 where none do so.
        layers: What the names of a layer's tensors begin with in a folder, before its number.
        names: Other names that `config.json` has for what others call `hidden_size` and so on; "" for none.
        is_rotary: Heads are turned by their positions.
        has_attention: Its layers have heads.
        constants: Numbers that its files say by key, always the same.
        more: What else `config.json` says of a model of these dimensions.
    """

    architecture: str
    model_type: str
    class_name: str
    layer: tuple[Part, ...]
    biases: tuple[tuple[Part, ...], ...] = ()
    always_biased: bool = False
    frame: tuple[Part, ...] = (EMBEDDING, NORM)
    head: Literal["optional", "always", "never"] = "optional"
    activation: str = "silu"
    epsilon: Setting = RMS_EPSILON
    scales_queries: bool = False
    qkv_bias: str = "attention_bias"
    fixed: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    settings: tuple[Setting, ...] = ()
    windows: Windows | None = None
    ignores_window: bool = False
    has_frequency_table: bool = False
    has_long_factors: bool = False
    turns_part: bool = False
    no_rope_period: int = 0
    wide_layers: int = 0
    layers: str = "model.layers"
    names: dict[str, str] = field(default_factory=dict)
    is_rotary: bool = True
    has_attention: bool = True
    constants: dict[str, int] = field(default_factory=dict)
    more: Callable[[Dimensions], dict[str, object]] = lambda sizes: {}

    @property
    def embedding(self) -> Part:
        """The table of embeddings."""
        return self.frame[0]

    @property
    def is_mixture(self) -> bool:
        """Each token chooses a few experts of its layers."""
        return any(setting.size == "experts" for setting in self.settings)

    @property
    def has_kinds(self) -> bool:
        """Some of its layers have no attention."""
        return any(part.layers for part in self.layer)

    def parts(self, sizes: Dimensions, layer: int) -> tuple[Part, ...]:
        """The tensors of this layer."""
        kind = sizes.layer_kinds[layer] if sizes.layer_kinds else ""
        return tuple(part for part in self.layer if part.layers in ("", kind))

    @property
    def understood(self) -> frozenset[str]:
        """The keys of its metadata that other architectures do not have."""
        window = ("attention.sliding_window",) if self.windows or self.ignores_window else ()
        pattern = ("attention.sliding_window_pattern", "rope.freq_base_swa") if self.windows else ()
        settings = (setting.key for setting in (*self.settings, self.epsilon))
        return frozenset((*settings, *self.constants, *window, *pattern))

    def query_scalar(self, sizes: Dimensions) -> int:
        """What the square root of the query is divided by, as llama.cpp has it."""
        return sizes.hidden // sizes.heads if sizes.layers == self.wide_layers else sizes.head
