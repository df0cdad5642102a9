"""What a protocol profile is, and what most profiles share."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from inspect import getsource
from types import MappingProxyType
from typing import NotRequired, Protocol, TypedDict

from services.protocols.cases import Case
from services.protocols.material.catalogue import Catalogue
from services.protocols.material.draw import Split, StockName
from services.protocols.material.scenario import Scenario
from services.protocols.session import Client, Session, judge_after_history
from services.protocols.session.client import Tool
from services.protocols.suites.suite import Suite, stored_suites
from services.protocols.turn import Answer, ClientState, FinishReason, Message, TurnOutcome, with_answer
from services.protocols.verdict import Verdict

VectorOperation = Callable[[Mapping[str, object]], object]
"""From the input of a conformance vector to what its `expected` must equal."""

_LIBRARY = "services.protocols"


class Example(TypedDict):
    """One training example in OpenAI's form."""

    messages: list[Message]
    tools: NotRequired[list[Tool]]


class UnknownPromptSize(ValueError):
    """A profile has no prompt of this size."""

    def __init__(self, prompt_size: str, prompt_sizes: tuple[str, ...]) -> None:
        super().__init__(f"there is no prompt size {prompt_size!r}; known sizes are: {', '.join(prompt_sizes)}")


class NoMaterial(ValueError):
    """The profile has nothing to draw cases from."""


class _Described(Protocol):
    closed_tools: Collection[str]
    """Tools whose arguments come from a short list that the prompt prints, so that suite and pool share their calls."""
    unread_forms: Collection[str]
    """Forms of a server's answer besides OpenAI's that the protocol's real client does not read, such as `refusal`."""

    @property
    def version(self) -> str:
        """Version of the client whose rules the profile holds."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Import names of the packages whose sources and data decide what it renders and how it judges."""

    @property
    def prompt_sizes(self) -> tuple[str, ...]:
        """Names of the prompt's sizes, smallest first."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Tools that the built-in suites and the single calls cover."""

    @property
    def vector_operations(self) -> Mapping[str, VectorOperation]:
        """What its conformance vectors ask, by the stem of the file's name."""


class _Material(Protocol):
    def reference_answer(self, case: Case) -> str:
        """Return an answer to `case` that conforms, as text that `read_answer` reads."""

    def example(self, case: Case, prompt_size: str) -> Example:
        """Return `messages` with the reference answer behind them."""

    def suites(self) -> tuple[Suite, ...]:
        """Return the built-in suites."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the kinds of tasks that `draw` has; none where there is nothing to train on."""

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
        """Yield `count` cases, the categories (default all) in turn; or, with `tools`, those of each tool in turn.

        The two stocks share no words and no wordings. Splits of the pool share no case and no right answer, whatever
        the seed; a suite has none.

        Raises:
            NoMaterial: there is nothing to draw from.
            UnknownCategory: one of `categories` is none.
            StockExhausted: there are too few cases.
        """


class Profile(_Described, Client, _Material, Protocol):
    """One version of one protocol: the renderer of prompts and training data, the test oracle and the reward."""


class _FromCatalogue:
    id: str
    catalogue: Catalogue | None = None
    """The kinds of scenarios that its cases are made of, for a profile that has material."""
    scenario_tools: Mapping[str, str] = MappingProxyType({})
    """The scenarios' name of a tool by the profile's name of it, where they differ."""
    categories: tuple[str, ...] = ()
    suite_package: str = ""
    """The package that holds the built-in suites, if there are any."""

    def check_case(self, case: Case) -> None:
        """Accept every case."""
        return

    def suites(self) -> tuple[Suite, ...]:
        """Return the built-in suites."""
        return stored_suites(self.suite_package, self.id, self.check_case) if self.suite_package else ()

    def _case_of(self, scenario: Scenario) -> Case:
        """Return the case that a scenario of the catalogue amounts to."""
        raise NotImplementedError

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
        """Yield `count` cases of the catalogue; see `Profile.draw`."""
        if self.catalogue is None:
            raise NoMaterial(f"the profile {self.id} has nothing to draw cases from")
        scenarios = self.catalogue.draw(
            seed,
            count,
            tools=None if tools is None else [self.scenario_tools.get(tool, tool) for tool in tools],
            categories=self.categories if categories is None else categories,
            stock=stock,
            split=split,
        )
        return map(self._case_of, scenarios)


class ProfileBase(_FromCatalogue, ABC):
    """What most profiles share; a profile adds its opening messages, its judge, and its client's turn and replies."""

    version: str
    packages: tuple[str, ...]
    prompt_sizes: tuple[str, ...]
    tools: tuple[str, ...] = ()
    closed_tools: Collection[str] = ()
    unread_forms: Collection[str] = ()
    vector_operations: Mapping[str, VectorOperation] = MappingProxyType({})

    @abstractmethod
    def _opening(self, case: Case, prompt_size: str) -> list[Message]:
        """Return the messages that put `case`, which has no history, to a model."""

    @abstractmethod
    def _judge(self, case: Case, answer: Answer) -> Verdict:
        """Return the verdict on the first answer to `case`, which has no history."""

    @abstractmethod
    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        """Do what the client does with `answer`: change `state` in place and return what came of each call."""

    @abstractmethod
    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        """Return the messages that follow the answer of which `outcome` came."""

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the profile's source and data."""
        return source_digest(self.packages)

    def messages(self, case: Case, prompt_size: str) -> list[Message]:
        """Return the opening, and what the case's history adds to it."""
        return Session(self, case, prompt_size).messages if case.history else self._opening(case, prompt_size)

    def judge(self, case: Case, answer: Answer) -> Verdict:
        """Return the verdict on the answer that follows the case's history."""
        return judge_after_history(self, case, answer) if case.history else self._judge(case, answer)

    def tools_for(self, case: Case, prompt_size: str = "") -> list[Tool]:
        """Return nothing: calls are text."""
        return []

    def read_answer(self, text: str, finish_reason: FinishReason = "stop") -> Answer:
        """Return the text as an answer without function calls."""
        return Answer(text, (), finish_reason)

    def as_written(self, answer: Answer, prompt_size: str) -> Answer:
        """Return the answer as it is: its form is the same in all sizes."""
        return answer

    def style_notes(self, answer: Answer) -> tuple[str, ...]:
        """Return nothing: there are no rules of style."""
        return ()

    def reference_answer(self, case: Case) -> str:
        """Return an answer to `case` that conforms."""
        return case.reference

    def example(self, case: Case, prompt_size: str) -> Example:
        """Return `messages` with the reference answer behind them, and the tools that go beside them."""
        answer = self.read_answer(self.reference_answer(case))
        example: Example = {"messages": with_answer(self.messages(case, prompt_size), answer)}
        if tools := self.tools_for(case, prompt_size):
            example["tools"] = tools
        return example


@cache
def source_digest(packages: tuple[str, ...]) -> str:
    """Return the digest of this library's own modules and of everything in `packages`."""
    digest = hashlib.sha256()
    shared = (f"{_LIBRARY}.{package}" for package in ("cases", "javascript", "judging", "session"))
    for package in (_LIBRARY, *shared, *sorted(packages)):
        for path, source in sorted(_package_sources(package)):
            digest.update(f"{package}/{path}\0{len(source)}\0".encode())
            digest.update(source)
    return f"sha256:{digest.hexdigest()}"


def _package_sources(package: str) -> Iterator[tuple[str, bytes]]:
    module = import_module(package)
    if hasattr(module, "__path__"):
        yield from _sources(files(module), "", into_folders=package != _LIBRARY)
    else:
        yield "", getsource(module).encode()


def _sources(folder: Traversable, path: str, *, into_folders: bool) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__" and into_folders:
                yield from _sources(entry, f"{path}{entry.name}/", into_folders=True)
        elif not entry.name.startswith(".") and not entry.name.endswith(".pyc"):
            yield f"{path}{entry.name}", entry.read_bytes()
