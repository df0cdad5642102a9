"""`browser_action` and `execute_command`: tools that run something."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from services.protocols.javascript.text import SPACE_CLASS as S
from services.protocols.roo.normal_forms import defaulted, plain_command, plain_path
from services.protocols.roo_xml.tools.tool import Argument, Call, Result, Tool, failed, missing

_POINT = re.compile(rf"{S}*[0-9]+{S}*,{S}*[0-9]+{S}*@{S}*[0-9]+{S}*[x,]{S}*[0-9]+{S}*")
_CLASSIC_NEEDS: Mapping[str, str] = MappingProxyType(
    {"scroll_down": "", "scroll_up": "", "close": "", "launch": "url", "hover": "coordinate", "click": "coordinate"}
    | {"type": "text", "resize": "size"}
)
"""What each action of the classic client needs besides itself."""

_NEEDS: Mapping[str, str] = MappingProxyType({**_CLASSIC_NEEDS, "press": "text", "screenshot": "path"})
"""The same for the reference client."""


def _act(call: Call) -> Result:
    is_classic, action = call.edition.is_classic, call.params.get("action", "")
    needs = _CLASSIC_NEEDS if is_classic else _NEEDS
    if action not in needs:
        return missing(call, "action", fails_turn=True)
    needed = needs[action]
    value = call.params.get(needed, "")
    if needed and (not value or (needed == "coordinate" and not is_classic and not _POINT.fullmatch(value))):
        return missing(call, needed, fails_turn=True)
    return call.answered("The browser did it. There are no new console messages.")


def scrolls(call: Call) -> bool:
    """Return whether a call scrolls the browser, which may be repeated at will."""
    return call.tool == "browser_action" and call.params.get("action") in ("scroll_down", "scroll_up")


BROWSER_ACTION = Tool(
    name="browser_action",
    run=_act,
    required=("action",),
    optional=("url", "coordinate", "size", "text", "path"),
    group="browser",
    arguments={"path": Argument(normal=plain_path)},
    title="action",
)
CLASSIC_BROWSER_ACTION = replace(BROWSER_ACTION, optional=("url", "coordinate", "size", "text"))


def _run(call: Call) -> Result:
    # The client looks at the text as written, and decodes its entities afterwards.
    if hidden := call.rules.hidden_argument(call.params["command"]):
        return failed("ignored_file", f"The command would print {hidden}, which .rooignore keeps from you.")
    head = f"The command ran in the folder '{call.params.get('cwd') or '.'}'. Exit code: 0\nOutput:\n"
    return call.offered(lambda: lambda: head + call.answer_of_case(""))


EXECUTE_COMMAND = Tool(
    name="execute_command",
    run=_run,
    required=("command",),
    optional=("cwd",),
    group="command",
    is_drilled=True,
    filled=("command",),
    arguments={"command": Argument(normal=plain_command), "cwd": Argument(normal=defaulted(".", plain_path))},
    title="command",
)
