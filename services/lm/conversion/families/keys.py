"""Numbers of one architecture in a GGUF's metadata, each checked where it is read."""

from typing import Final

from services.lm.conversion.families.family import OTHER_MODEL
from services.lm.conversion.header import Header
from services.lm.errors import InvalidModelFile

_MAX_SIZE: Final = 1 << 24
_FETCH_AGAIN: Final = "Fetch the file again."


class Keys:
    """Numbers under `<architecture>.…`, refused when absent or of the wrong type."""

    def __init__(self, header: Header, architecture: str) -> None:
        self._metadata, self._architecture = header.metadata, architecture

    def whole(self, key: str, default: int | None = None) -> int:
        """A size: 1 or more."""
        return self._size(key, self._metadata.get(f"{self._architecture}.{key}", default))

    def alike(self, key: str, default: int | None = None) -> int:
        """A number that some files tell for each layer."""
        value = self._metadata.get(f"{self._architecture}.{key}")
        if not isinstance(value, list):
            return self.whole(key, default)
        if len(set(value)) != 1:
            raise InvalidModelFile("Its layers differ from each other.", OTHER_MODEL, f"{self._architecture}.{key}")
        return self._size(key, value[0])

    def _size(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_SIZE:
            raise InvalidModelFile(f"The size is {value!r:.40}.", _FETCH_AGAIN, f"{self._architecture}.{key}")
        return value

    def by_layer(self, key: str, default: int, layers: int) -> list[int]:
        """A count for each layer, 0 where it has none; some files tell one for all."""
        value = self._metadata.get(f"{self._architecture}.{key}")
        if not isinstance(value, list):
            return [self.whole(key, default)] * layers
        if len(value) != layers or not all(isinstance(count, int) and count >= 0 for count in value) or not any(value):
            raise InvalidModelFile("There is not one count per layer.", _FETCH_AGAIN, key)
        return value  # type: ignore[return-value]

    def real(self, key: str, default: float | None = None, *, may_be_zero: bool = False) -> float:
        """A number of 0 or more."""
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value < 1e12 or not (value or may_be_zero):  # type: ignore[operator]
            raise InvalidModelFile(f"The number is {value!r:.40}.", _FETCH_AGAIN, f"{self._architecture}.{key}")
        return float(value)  # type: ignore[arg-type]

    def check(self, key: str, *values: object) -> None:
        """Pass where the key is absent or has one of these values."""
        value = self._metadata.get(f"{self._architecture}.{key}", values[0])
        if value not in values:
            raise self.refused(key, f"It is {str(value)[:40]} and not {str(values[0])[:40]}")

    def refused(self, key: str, problem: str) -> InvalidModelFile:
        """The refusal of what the key says."""
        return InvalidModelFile(f"{problem}, which is not supported.", OTHER_MODEL, f"{self._architecture}.{key}")
