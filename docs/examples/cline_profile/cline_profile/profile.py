"""The profile `cline_xml`."""

from __future__ import annotations

from cline_profile.judge import judge
from cline_profile.tools import CLIENT_VERSION, MODES, TOOLS
from cline_profile.turn import replies, take_turn
from services.protocols.cases import Case, CaseError
from services.protocols.profile import Message, Profile, ProfileBase
from services.protocols.turn import Answer, ClientState, TurnOutcome
from services.protocols.verdict import Verdict

_PROMPT = """You are a programmer who works by tools.
Every answer ends with exactly one call, the tool's name around its parameters:
<tool_name>
<parameter_name>value</parameter_name>
</tool_name>

You are in {mode} mode, which offers:
{tools}

A diff holds blocks: a line `------- SEARCH`, lines of the file, a line `=======`, the new lines, `+++++++ REPLACE`."""


class ClineXml(ProfileBase):
    """Cline's XML tools; see `services.protocols.profile.Profile`."""

    id = "cline_xml"
    version = CLIENT_VERSION
    packages = ("cline_profile",)
    prompt_sizes = ("compact",)
    tools = tuple(TOOLS)

    def _opening(self, case: Case, prompt_size: str) -> list[Message]:
        offered = [f"{name}: {', '.join(spec.parameters)}" for name, spec in TOOLS.items() if case.mode in spec.modes]
        files = "".join(f'\n<file path="{path}">\n{text}\n</file>' for path, text in case.files.items())
        return [
            {"role": "system", "content": _PROMPT.format(mode=case.mode, tools="\n".join(offered))},
            {"role": "user", "content": f"<task>\n{case.task}\n</task>{files}"},
        ]

    def _judge(self, case: Case, answer: Answer) -> Verdict:
        return judge(case, answer)

    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        """Run the first call of `answer`."""
        return take_turn(state, answer)

    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        """Return the one message that follows an answer."""
        return replies(state, outcome)

    def check_case(self, case: Case) -> None:
        """Raise CaseError when the case names a tool or a mode that the client does not have."""
        if case.expected.tool not in TOOLS:
            raise CaseError("expected.tool", f"the protocol has no tool {case.expected.tool!r}")
        if case.mode not in MODES:
            raise CaseError("mode", f"there is no mode {case.mode!r}")


PROFILE: Profile = ClineXml()
