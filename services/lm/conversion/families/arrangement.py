"""How GGUF lays out the numbers of a tensor that a folder has in another order, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from services.lm.conversion.families.family import Dimensions, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

Change = Callable[["NDArray[Any]"], "NDArray[Any]"]


def rows_together(part: Part, sizes: Dimensions) -> int:
    """So many rows are put in order together: those of a head, say, or 0 for all."""
    if part.heads:
        return part.shape(sizes)[0] // sizes.size(part.heads)
    return 0 if part.form else 1


def to_gguf(part: Part, sizes: Dimensions) -> Change | None:
    """What makes GGUF's order of a folder's, of so many rows or a multiple; None where it is the same."""
    if part.form == "logarithm":
        return _negated_exponentials
    return (lambda values: values.T) if part.form == "transposed" else rows_to_gguf(part, sizes)


def rows_to_gguf(part: Part, sizes: Dimensions) -> Change | None:
    """The same for the rows alone, of any width: those of the second matrix of a LoRA."""
    if part.heads:
        return partial(interleave, head_rows=rows_together(part, sizes))
    return partial(ungroup, heads=sizes.heads, kv_heads=sizes.kv_heads) if part.form == "grouped" else None


def to_folder(part: Part, sizes: Dimensions) -> Change | None:
    """The inverse of `to_gguf`."""
    if part.form == "logarithm":
        return _logarithms
    if part.form == "transposed":
        return lambda values: values.T
    if part.heads:
        return partial(separate, head_rows=rows_together(part, sizes))
    return partial(group, heads=sizes.heads, kv_heads=sizes.kv_heads) if part.form == "grouped" else None


def interleave(values: NDArray[Any], head_rows: int) -> NDArray[Any]:
    """Each head's rows as GGUF has them where neighbours are turned together: the first of each half, and so on."""
    halves = values.reshape(-1, 2, head_rows // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def separate(values: NDArray[Any], head_rows: int) -> NDArray[Any]:
    """The inverse of `interleave`."""
    pairs = values.reshape(-1, head_rows // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def ungroup(values: NDArray[Any], heads: int, kv_heads: int) -> NDArray[Any]:
    """Rows of all queries, then all keys, then all values, of those that each head of keys has together."""
    ungrouped: NDArray[Any] = values[_grouped_rows(len(values), heads, kv_heads)]
    return ungrouped


def group(values: NDArray[Any], heads: int, kv_heads: int) -> NDArray[Any]:
    """The inverse of `ungroup`."""
    grouped: NDArray[Any] = values[_grouped_rows(len(values), heads, kv_heads).argsort()]
    return grouped


def _grouped_rows(count: int, heads: int, kv_heads: int) -> Any:
    """By row of all queries, keys and values: its place where they are grouped."""
    import numpy as np

    queries = heads // kv_heads
    places = np.arange(count).reshape(kv_heads, queries + 2, -1)
    return np.concatenate([places[:, :queries].ravel(), places[:, queries].ravel(), places[:, queries + 1].ravel()])


def _negated_exponentials(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    negated: NDArray[Any] = -np.exp(values)
    return negated


def _logarithms(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    # A number that has none is found with those that are infinite.
    with np.errstate(invalid="ignore", divide="ignore"):
        logarithms: NDArray[Any] = np.log(-values)
    return logarithms
