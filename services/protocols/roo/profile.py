"""What the Roo clients' profiles share: the scenarios that their cases are drawn from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator
from typing import ClassVar

from services.protocols.cases import Case
from services.protocols.profile import ProfileBase, Split
from services.protocols.roo import scenarios
from services.protocols.roo.scenarios.nouns import Protocol


class RooProfile(ProfileBase):
    """A profile whose cases are made of scenarios; it adds how a scenario becomes a case of its protocol."""

    protocol: ClassVar[Protocol]
    # The client reads the texts of `delta.content` and of `delta.tool_calls`, the latter by their index.
    unread_forms: Collection[str] = (
        *("shared_index", "object_arguments", "function_call"),
        *("message", "text", "content_parts", "refusal"),
    )

    @abstractmethod
    def _case_of(self, scenario: scenarios.Scenario) -> Case:
        """Return the case that `scenario` amounts to."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the kinds of tasks that `generate_cases` draws."""
        return tuple(scenarios.CATEGORIES)

    def generate_cases(
        self,
        seed: int,
        count: int,
        *,
        categories: Collection[str] | None = None,
        stock: scenarios.StockName = "pool",
        split: Split = "train",
    ) -> Iterator[Case]:
        """Yield `count` cases, of one answer or several, balanced over `categories`; see `scenarios.scenarios`."""
        wanted = self.categories if categories is None else categories
        drawn = scenarios.scenarios(self.protocol, seed, count, categories=wanted, stock=stock, split=split)
        return map(self._case_of, drawn)
