"""The cases of a run in the order in which it asks for them, a page of the registry at a time."""

from __future__ import annotations

from collections import deque

from services.chassis.errors import FailedPrecondition
from services.chassis.waiting import patiently
from services.protocols.cases import Case
from services.test_runner.domain import Item, RunInputs
from services.test_runner.ports import Registry

PATIENCE_SECONDS = 600.0


class CaseReader:
    """Gives the case of each item, for items in the order of the plan; holds no more than a page."""

    def __init__(self, registry: Registry, inputs: RunInputs) -> None:
        self._registry = registry
        self._inputs = inputs
        self._rewind()

    async def case_of(self, item: Item) -> Case:
        """Return the item's case; the item must come after those that were asked for before.

        Raises:
            FailedPrecondition: The suite has not the cases that it had when the run was created.
        """
        if item.case_index < self._next_index:
            self._rewind()
        while True:
            while not self._page:
                await self._turn_page()
            case = self._page.popleft()
            self._next_index += 1
            if self._next_index > item.case_index:
                return case

    def _rewind(self) -> None:
        self._page: deque[Case] = deque()
        self._token: str | None = ""
        self._next_index = 0

    async def _turn_page(self) -> None:
        token, suite = self._token, self._inputs.test_suite_version_id
        if token is None:
            raise FailedPrecondition(
                f"The suite {suite} has {self._next_index} cases instead of {self._inputs.num_cases}.",
                "Check the registry's data; suite versions never change.",
            )
        page = await patiently(lambda: self._registry.list_cases(suite, token), PATIENCE_SECONDS)
        self._page.extend(page.cases)
        self._token = page.next_token or None
