"""`skill`: instructions for rare kinds of work."""

from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Arguments, Call, Problem, Result, Tool, mistake
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

_SKILLS = {
    "create-mcp-server": "Say what the server offers, choose its language, write it, then connect it in mcp.json.",
    "create-mode": "Choose slug, name, role and groups, then add the mode to .roomodes.",
}
"""Instructions by the name under which the prompt lists them."""


def _hand_out(call: Call) -> Result:
    name = text_of(call.arguments["skill"])
    text = call.answer_of_case(_SKILLS.get(name, ""))
    if not text:
        sentence = f"There is no skill {name!r}. The skills are: {', '.join(_SKILLS)}."
        return mistake("unknown_instruction", sentence, "reset", fails_turn=True)
    return call.offered(lambda: f"Skill: {name}\n\n{text}")


def _problem(arguments: Arguments, state: ClientState) -> Problem | None:
    if arguments["skill"] in _SKILLS:
        return None
    return Fault.UNKNOWN_INSTRUCTION, f"{arguments['skill']!r} is none of the skills: {', '.join(_SKILLS)}."


SKILL = Tool(
    name="skill",
    run=_hand_out,
    arguments={"skill": Argument("present"), "args": Argument()},
    is_drilled=True,
    filled=("skill",),
    lack_fails_turn=True,
    problem=_problem,
)
