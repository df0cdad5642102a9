"""The profile `roo_xml`."""

import hashlib
from collections.abc import Collection

from services.protocols.cases import Case, CaseError
from services.protocols.contract import Profile
from services.protocols.material.catalogue import SINGLE_CALL
from services.protocols.material.scenario import Scenario
from services.protocols.roo.modes import find_mode
from services.protocols.roo.profile import CATALOGUE, RooProfile
from services.protocols.roo_xml import prompt
from services.protocols.roo_xml.editions import CLASSIC, REFERENCE
from services.protocols.roo_xml.judge import judge
from services.protocols.roo_xml.rules.style import style_problems
from services.protocols.roo_xml.scenario_case import case_of
from services.protocols.roo_xml.tools import DRILLED_TOOLS
from services.protocols.roo_xml.turn import replies, take_turn
from services.protocols.roo_xml.vectors import CLASSIC_OPERATIONS, OPERATIONS
from services.protocols.turn import Answer, ClientState, Message, TurnOutcome
from services.protocols.verdict import Verdict


class RooXml(RooProfile):
    """Roo Code's XML protocol as a profile; see `services.protocols.profile.Profile`."""

    packages = ("services.protocols.roo", "services.protocols.roo_xml")
    catalogue = CATALOGUE.for_protocol("roo_xml")
    prompt_sizes = prompt.PROMPT_SIZES
    tools = DRILLED_TOOLS
    closed_tools: Collection[str] = ("fetch_instructions",)

    def __init__(self, *, classic: bool = False) -> None:
        """Choose the client: the reference, or the classic one."""
        self.edition = CLASSIC if classic else REFERENCE
        self.id = "roo_xml_classic" if classic else "roo_xml"
        self.version = self.edition.version
        self.suite_package = "" if classic else "services.protocols.roo_xml"
        self.categories = (SINGLE_CALL,) if classic else type(self).categories
        self.vector_operations = CLASSIC_OPERATIONS if classic else OPERATIONS

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the profile's source and data, and of the client's version."""
        sources = super().digest
        if self.edition is REFERENCE:
            return sources
        return f"sha256:{hashlib.sha256(f'{sources}/{self.version}'.encode()).hexdigest()}"

    def _opening(self, case: Case, prompt_size: str) -> list[Message]:
        return [
            {"role": "system", "content": prompt.system_prompt(case, prompt_size, self.edition)},
            {"role": "user", "content": prompt.user_turn(case)},
        ]

    def _judge(self, case: Case, answer: Answer) -> Verdict:
        return judge(case, answer.text, answer.finish_reason, self.edition)

    def style_notes(self, answer: Answer) -> tuple[str, ...]:
        """Return a sentence for each rule of style that the answer breaks."""
        return tuple(problem.sentence for problem in style_problems(answer.text, self.edition))

    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        """Do what the client does with `answer`."""
        return take_turn(state, answer, self.edition)

    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        """Return the user's message that follows the answer."""
        return replies(state, outcome)

    def check_case(self, case: Case) -> None:
        """Raise CaseError when the case names a tool or a mode that the client does not have."""
        if case.expected.tool not in self.edition.tools:
            raise CaseError("expected.tool", f"the protocol has no tool {case.expected.tool!r}")
        for name in ("included_tools", "excluded_tools"):
            if getattr(case, name):
                raise CaseError(name, "the protocol offers the same tools to every model")
        if find_mode(case.mode, case.custom_modes) is None:
            raise CaseError("mode", f"there is no mode {case.mode!r}")

    def _case_of(self, scenario: Scenario) -> Case:
        return case_of(scenario)


PROFILE: Profile = RooXml()
CLASSIC_PROFILE: Profile = RooXml(classic=True)
