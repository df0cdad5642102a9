"""What the model gets to read: the system prompt in three sizes, and the task."""

import json
from collections.abc import Mapping

from services.protocols.cases import Case
from services.protocols.contract import UnknownPromptSize
from services.protocols.session.written_calls import CLOSE, OPEN
from services.protocols.turn import Message

PROMPT_SIZES = ("bare", "compact", "full")
"""`bare`: the functions travel beside the messages; `compact` and `full`: the prompt lists them and calls are text."""

_ROLE = "You are an assistant that works by calling functions."
_FORM = f"""Write each call as one JSON object on a line of its own, between these two lines:
{OPEN}
{{"name": "<function>", "arguments": {{<arguments by their names>}}}}
{CLOSE}"""
_RULES = """Rules:
- Call a function only when the request needs it. When none of them fits, answer in plain text.
- Take every value from the request. Never invent one; when a required value is missing, ask for it in plain text.
- Leave optional arguments out unless the request names them.
- Keep names, spellings and numbers exactly as the request gives them, in the type that the schema names.
- When the request asks for several things, write one call for each, one after the other.
- When a call needs what another one answers, make the other one first and wait for its answer.
- After the results have come, tell the person in plain text what was done."""
_BRIEF = (
    "Call a function only when the request needs it, with values from the request alone; else answer in plain text."
)


def opening(case: Case, prompt_size: str) -> list[Message]:
    """Return the system message, what was said before, if the case was recorded, and the person's message.

    Raises:
        UnknownPromptSize: `prompt_size` is none of `PROMPT_SIZES`.
    """
    if prompt_size == "bare":
        system = f"{_ROLE} {_BRIEF}"
    elif prompt_size == "compact":
        definitions = "\n".join(_function(tool, indent=None) for tool in case.tools)
        system = f"{_ROLE} {_BRIEF}\n\n{_FORM}\n\nFunctions:\n{definitions}"
    elif prompt_size == "full":
        definitions = "\n\n".join(_function(tool, indent=2) for tool in case.tools)
        system = f"{_ROLE}\n\n{_FORM}\n\n{_RULES}\n\nFunctions, with their arguments as JSON schemas:\n\n{definitions}"
    else:
        raise UnknownPromptSize(prompt_size, PROMPT_SIZES)
    recorded = "\n\n".join(content for role, content in case.prompt if role == "system")
    before: list[Message] = [{"role": role, "content": content} for role, content in case.prompt if role != "system"]
    if recorded:
        # What a client says of its own; beside functions it is all that the model was told.
        system = recorded if prompt_size == "bare" else f"{recorded}\n\n{system}"
    return [{"role": "system", "content": system}, *before, {"role": "user", "content": case.task}]


def _function(tool: Mapping[str, object], *, indent: int | None) -> str:
    return json.dumps(tool.get("function"), ensure_ascii=False, indent=indent, default=dict)
