"""The profile `roo_xml`."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from services.protocols.cases import Case
from services.protocols.profile import Example, Message, Profile, Split, source_digest
from services.protocols.roo_xml import cases, prompt
from services.protocols.roo_xml.judge import judge
from services.protocols.roo_xml.tools import CLIENT_VERSION, DRILLED_TOOLS
from services.protocols.suites import Suite
from services.protocols.verdict import Verdict


class RooXml:
    """Roo Code's XML protocol as a profile; see `services.protocols.profile.Profile`."""

    id = "roo_xml"
    version = CLIENT_VERSION
    prompt_sizes = prompt.PROMPT_SIZES
    tools = DRILLED_TOOLS
    closed_tools: Collection[str] = cases.CLOSED_TOOLS

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the profile's source and data."""
        return source_digest(self.id)

    def messages(self, case: Case, prompt_size: str) -> list[Message]:
        """Return the system and user message that put `case` to a model."""
        return [
            {"role": "system", "content": prompt.system_prompt(case, prompt_size)},
            {"role": "user", "content": prompt.user_turn(case)},
        ]

    def reference_answer(self, case: Case) -> str:
        """Return an answer to `case` that conforms."""
        return case.reference

    def example(self, case: Case, prompt_size: str) -> Example:
        """Return `messages` with the reference answer behind them."""
        answer: Message = {"role": "assistant", "content": self.reference_answer(case)}
        return {"messages": [*self.messages(case, prompt_size), answer]}

    def judge(self, case: Case, answer: str, finish_reason: str = "stop") -> Verdict:
        """Return the verdict on `answer`; `finish_reason` is `length` when the token limit cut it."""
        return judge(case, answer, finish_reason)

    def suites(self) -> tuple[Suite, ...]:
        """Return the built-in suites."""
        return (cases.core_suite(),)

    def generate_pool(
        self, seed: int, count: int, *, tools: Collection[str] | None = None, split: Split = "train"
    ) -> Iterator[Case]:
        """Yield `count` cases of one split, balanced over `tools`."""
        return cases.generate_pool(seed, count, tools=tools, split=split)

    def probe_cases(self, seed: int, count: int = cases.MAX_PROBE_CASES) -> list[Case]:
        """Return at most 48 cases of the split `probe`."""
        return cases.probe_cases(seed, count)


PROFILE: Profile = RooXml()
