"""The tools of the client: one module says all of a tool, and the lists here are made of those."""

from types import MappingProxyType

from services.protocols.roo_xml.tools.command import BROWSER_ACTION, CLASSIC_BROWSER_ACTION, EXECUTE_COMMAND
from services.protocols.roo_xml.tools.edit import APPLY_DIFF, CLASSIC_WRITE_TO_FILE, INSERT_CONTENT, WRITE_TO_FILE
from services.protocols.roo_xml.tools.experiments import EXPERIMENTS
from services.protocols.roo_xml.tools.mcp import ACCESS_MCP_RESOURCE, USE_MCP_TOOL
from services.protocols.roo_xml.tools.read_file import READ_FILE
from services.protocols.roo_xml.tools.search import (
    CODEBASE_SEARCH,
    FETCH_INSTRUCTIONS,
    LIST_CODE_DEFINITION_NAMES,
    LIST_FILES,
    SEARCH_FILES,
)
from services.protocols.roo_xml.tools.task import (
    ASK_FOLLOWUP_QUESTION,
    ATTEMPT_COMPLETION,
    NEW_TASK,
    SWITCH_MODE,
    UPDATE_TODO_LIST,
)
from services.protocols.roo_xml.tools.tool import Arguments, Params

_ALL = (
    *(READ_FILE, SEARCH_FILES, LIST_FILES, FETCH_INSTRUCTIONS, WRITE_TO_FILE, APPLY_DIFF, EXECUTE_COMMAND),
    *(USE_MCP_TOOL, ASK_FOLLOWUP_QUESTION, ATTEMPT_COMPLETION, SWITCH_MODE, NEW_TASK, UPDATE_TODO_LIST),
    *(CODEBASE_SEARCH, BROWSER_ACTION, ACCESS_MCP_RESOURCE, *EXPERIMENTS),
)
_CLASSIC = (CLASSIC_WRITE_TO_FILE, CLASSIC_BROWSER_ACTION, INSERT_CONTENT, LIST_CODE_DEFINITION_NAMES)

TOOLS = MappingProxyType({tool.name: tool for tool in _ALL})
"""The tools of the reference client by name, in the prompt's order."""

CLASSIC_TOOLS = MappingProxyType({tool.name: tool for tool in (*_ALL, *_CLASSIC) if not tool.is_opt_in})
"""The tools of the classic client."""

DRILLED_TOOLS = tuple(tool.name for tool in _ALL if tool.is_drilled)
"""The tools that the built-in suites and the training data cover."""


def typed_arguments(tool: str, params: Params) -> Arguments:
    """Return the typed arguments of a call; see `Tool.typed_arguments`."""
    return (TOOLS.get(tool) or CLASSIC_TOOLS[tool]).typed_arguments(params)
