"""A sequence of tokens of which some are trained."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainedSequence:
    """Token ids, and which of them are trained; a trained token `ids[i]` is predicted from `ids[:i]`.

    Attributes:
        ids: All tokens.
        spans: (start, end) places of the trained tokens, in order, apart from each other; the first starts behind the
            first token.

    Raises:
        ValueError: The spans are not so.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        """Check the spans."""
        edge = 1
        for start, end in self.spans:
            if not edge <= start < end <= len(self.ids):
                raise ValueError(f"spans {self.spans} are not in order within tokens 1 to {len(self.ids)}")
            edge = end

    @property
    def num_trained(self) -> int:
        """How many tokens are trained."""
        return sum(end - start for start, end in self.spans)

    def trained_places(self) -> Iterator[int]:
        """The places of the trained tokens, in order."""
        for start, end in self.spans:
            yield from range(start, end)
