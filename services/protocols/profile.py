"""What a protocol profile is, and where profiles are chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Literal, Protocol, TypedDict

from services.protocols.cases import Case
from services.protocols.suites import Suite
from services.protocols.verdict import Verdict

Split = Literal["train", "validation", "probe"]


class Message(TypedDict):
    """One chat message in OpenAI's form."""

    role: str
    content: str


class Example(TypedDict):
    """One training example in OpenAI's form."""

    messages: list[Message]


class UnknownProfile(ValueError):
    """No profile has this id."""


class Profile(Protocol):
    """One version of one protocol: the renderer of prompts and training data, the test oracle and the reward."""

    closed_tools: Collection[str]
    """Tools whose arguments come from a short list that the prompt prints, so that suite and pool share their calls."""

    @property
    def id(self) -> str:
        """Name of the protocol, such as `roo_xml`."""

    @property
    def version(self) -> str:
        """Version of the client whose rules the profile holds."""

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the profile's source and data; equal digests judge equally."""

    @property
    def prompt_sizes(self) -> tuple[str, ...]:
        """Names of the prompt's sizes, smallest first."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Tools that the built-in suite and the pool cover."""

    def messages(self, case: Case, prompt_size: str) -> list[Message]:
        """Return the system and user message that put `case` to a model."""

    def reference_answer(self, case: Case) -> str:
        """Return an answer to `case` that conforms."""

    def example(self, case: Case, prompt_size: str) -> Example:
        """Return `messages` with the reference answer behind them."""

    def judge(self, case: Case, answer: str, finish_reason: str = "stop") -> Verdict:
        """Return the verdict on `answer`; `finish_reason` is `stop`, or `length` when the token limit cut it."""

    def suites(self) -> tuple[Suite, ...]:
        """Return the built-in suites."""

    def generate_pool(
        self, seed: int, count: int, *, tools: Collection[str] | None = None, split: Split = "train"
    ) -> Iterator[Case]:
        """Yield `count` cases, balanced over `tools` (default all); splits of one seed share no case and no call."""

    def probe_cases(self, seed: int, count: int = 48) -> list[Case]:
        """Return at most 48 cases of the split `probe`, balanced over the tools."""


_PROFILES = MappingProxyType({"roo_xml": "services.protocols.roo_xml.profile:PROFILE"})


def profile_ids() -> tuple[str, ...]:
    """Return the ids of all profiles."""
    return tuple(_PROFILES)


def get_profile(profile_id: str) -> Profile:
    """Return the profile of that id.

    Raises:
        UnknownProfile: there is none; the message names those that exist.
    """
    if profile_id not in _PROFILES:
        known = ", ".join(_PROFILES)
        raise UnknownProfile(f"there is no profile {profile_id!r}; known profiles are: {known}")
    module, _, name = _PROFILES[profile_id].partition(":")
    found: Profile = getattr(import_module(module), name)
    return found


@cache
def source_digest(profile_id: str) -> str:
    """Return the digest of everything that decides what a profile renders and how it judges."""
    root = files("services.protocols")
    digest = hashlib.sha256()
    family = profile_id.partition("_")[0]
    for path, source in sorted(_sources(root, "", lambda name: name in (family, profile_id))):
        digest.update(f"{path}\0{len(source)}\0".encode())
        digest.update(source)
    return f"sha256:{digest.hexdigest()}"


def _sources(folder: Traversable, path: str, enters: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__" and (path or enters(entry.name)):
                yield from _sources(entry, f"{path}{entry.name}/", enters)
        elif not entry.name.startswith(".") and not entry.name.endswith(".pyc"):
            yield f"{path}{entry.name}", entry.read_bytes()
