"""How tokens are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.test_runner.domain.limits import check_number

# field → (least, most); the proto says what each means.
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 10.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 1 << 20),
    "max_new_tokens": (1, 8192),
    "min_p": (0.0, 1.0),
}


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; temperature 0 is greedy, `top_p` 1, `top_k` 0 and `min_p` 0 leave every token in."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 192
    min_p: float = 0.0

    def filled(self, other: Sampling) -> Sampling:
        """Return it with each value that is 0 taken from `other`."""
        return Sampling(**{name: getattr(self, name) or getattr(other, name) for name in _BOUNDS})

    def check(self, owner: str = "", least_tokens: int = 1) -> None:
        """Return when every value is within its bounds.

        Raises:
            InvalidArgument: One is not; the error names the field, behind `owner`.
        """
        for name, (least, most) in _BOUNDS.items():
            bound = least_tokens if name == "max_new_tokens" else least
            check_number(f"{owner}sampling.{name}", getattr(self, name), bound, most)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form; what newer releases added is there only when it is used."""
        kept = {name: getattr(self, name) for name in _BOUNDS}
        return kept if self.min_p else {name: value for name, value in kept.items() if name != "min_p"}
