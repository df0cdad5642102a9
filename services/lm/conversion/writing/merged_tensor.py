"""A weight of a base with an adapter's change, a few rows at a time."""

import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from services.lm.conversion.writing.number_types import encode
from services.lm.conversion.writing.stored_tensors import StoredTensor

NUMBER_SIZES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class Change(Protocol):
    """What an adapter makes of a weight's rows."""

    def apply(self, rows: NDArray[np.float32], start: int) -> NDArray[np.float32]:
        """The rows from number `start` on, which may be changed in place."""


@dataclass(frozen=True)
class MergedTensor:
    """One weight of a merged model.

    Attributes:
        name: Its name in the merged folder.
        base: The base's weight.
        change: What the adapter makes of it, in float32; None for nothing.
        dtype: The type that it is stored in, as safetensors names it.
        changed: Gets the name once a number has become another one of that type; shared by all tensors of a merge.
    """

    name: str
    base: StoredTensor
    change: Change | None
    dtype: str
    changed: set[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""
        return self.base.shape

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * NUMBER_SIZES[self.dtype]

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """These rows with the change, float32."""
        rows = self.base.rows(start, stop)
        if self.change is None:
            return rows
        if self.changed:
            return self.change.apply(rows, start)
        merged = self.change.apply(rows.copy(), start)
        if self._stored(merged) != self._stored(rows):
            self.changed.add(self.name)
        return merged

    def content(self, start: int, stop: int) -> bytes | memoryview:
        """These rows with the change, as they are stored.

        Raises:
            InvalidModelFile: A number is infinite, none, or too large for the type.
        """
        if self.change is None and self.dtype == self.base.dtype:
            return self.base.content(start, stop)
        return self._stored(self.rows(start, stop))

    def _stored(self, rows: NDArray[Any]) -> memoryview:
        if self.dtype == "F64":
            return rows.astype(np.float64).data.cast("B")
        return encode(rows, Kind[self.dtype], self.name)
