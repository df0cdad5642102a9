"""What the Roo clients' profiles share: the scenarios that their cases are drawn from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar

from services.protocols.cases import Case
from services.protocols.contract import ProfileBase
from services.protocols.material import Catalogue, Split, StockName
from services.protocols.material.scenario import Scenario
from services.protocols.roo.scenarios.catalogue import CATALOGUE


class RooProfile(ProfileBase):
    """A profile whose cases are made of scenarios; it adds how a scenario becomes a case of its protocol."""

    catalogue: ClassVar[Catalogue]
    own_names: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The client's name of a tool by the scenarios' name of it, where they differ."""
    categories: tuple[str, ...] = tuple(CATALOGUE.categories)
    # The client reads the texts of `delta.content` and of `delta.tool_calls`, the latter by their index.
    unread_forms: Collection[str] = (
        *("shared_index", "object_arguments", "function_call"),
        *("message", "text", "content_parts", "refusal"),
    )

    @abstractmethod
    def _case_of(self, scenario: Scenario) -> Case:
        """Return the case that `scenario` amounts to."""

    def draw(
        self,
        seed: int,
        count: int,
        *,
        tools: Collection[str] | None = None,
        categories: Collection[str] | None = None,
        stock: StockName = "pool",
        split: Split = "train",
    ) -> Iterator[Case]:
        """Yield `count` cases, of one answer or several; see `Profile.draw`."""
        names = {own: name for name, own in self.own_names.items()}
        scenarios = self.catalogue.draw(
            seed,
            count,
            tools=None if tools is None else [names.get(tool, tool) for tool in tools],
            categories=self.categories if categories is None else categories,
            stock=stock,
            split=split,
        )
        return map(self._case_of, scenarios)
