"""What an architecture consists of: one description, by which models are read from GGUF and written to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, ...]
# Key, value and the name of its type in GGUF.
Entry = tuple[str, object, str]

OTHER_MODEL: Final = "Choose a model of one of the supported kinds, or import it as a Hugging Face folder."
FOLDER_FORMS: Final = "Export it as an adapter, as a merged folder or to Hugging Face or OCI instead."


@dataclass(frozen=True)
class Dimensions:
    """The sizes that the tensors have; the properties are those that follow from them."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int

    @property
    def queries(self) -> int:
        """Numbers of all heads of one token's query."""
        return self.heads * self.head

    @property
    def keys(self) -> int:
        """Numbers of all heads of one token's key, or value."""
        return self.kv_heads * self.head


@dataclass(frozen=True)
class Part:
    """One tensor in both forms.

    Attributes:
        gguf: Its name in GGUF, behind that of its layer.
        folder: Its name in a folder, behind that of its layer.
        sizes: Its shape, by the names that `Dimensions` has for them.
        heads: The name of the count of heads whose halves GGUF interleaves, for its way of turning pairs; "" for none.
        shift: What GGUF adds to each number: norms that a class stores as their difference from one.
    """

    gguf: str
    folder: str
    sizes: tuple[str, ...]
    heads: str = ""
    shift: int = 0

    def shape(self, dimensions: Dimensions) -> Shape:
        """The shape that it has in a model of these dimensions."""
        return tuple(getattr(dimensions, size) for size in self.sizes)


EMBEDDING: Final = Part("token_embd.weight", "model.embed_tokens.weight", ("vocabulary", "hidden"))
NORM: Final = Part("output_norm.weight", "model.norm.weight", ("hidden",))
HEAD: Final = Part("output.weight", "lm_head.weight", ("vocabulary", "hidden"))


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
        has_frequency_table: A table may say how its positions are scaled.
        fixed: By name in `config.json`: the only values that GGUF can express.
    """

    architecture: str
    model_type: str
    class_name: str
    layer: tuple[Part, ...]
    biases: tuple[tuple[Part, ...], ...] = ()
    always_biased: bool = False
    frame: tuple[Part, ...] = (EMBEDDING, NORM)
    has_frequency_table: bool = False
    fixed: dict[str, tuple[Any, ...]] = field(default_factory=dict)


def interleave(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """Each head's rows as GGUF has them where neighbours are turned together: the first of each half, and so on."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def separate(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """The inverse of `interleave`."""
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)
