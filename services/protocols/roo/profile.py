"""What the Roo clients' profiles share: the scenarios that their cases are drawn from, and what their client reads."""

from collections.abc import Collection

from services.protocols.contract import ProfileBase
from services.protocols.material.catalogue import SINGLE_CALL, Catalogue
from services.protocols.roo.scenarios.edits import EDIT_BY_DIFF, WHOLE_FILE
from services.protocols.roo.scenarios.limits import MODE_LIMITS
from services.protocols.roo.scenarios.long_context import LONG_CONTEXT
from services.protocols.roo.scenarios.odd_text import ODD_TEXT
from services.protocols.roo.scenarios.recovery import RECOVERY
from services.protocols.roo.scenarios.talk import ASK_WHEN_UNCLEAR, COMPLETION, REPETITION
from services.protocols.roo.scenarios.tasks import EXACT_ARGUMENTS, SINGLE_CALLS, TOOL_CHOICE
from services.protocols.roo.scenarios.turns import MCP, SEARCH_READ_EDIT, TODO_TURNS

CATALOGUE = Catalogue(
    f"{__package__}.scenarios",
    {
        SINGLE_CALL: SINGLE_CALLS,
        "tool_choice": TOOL_CHOICE,
        "exact_arguments": EXACT_ARGUMENTS,
        "edit_by_diff": EDIT_BY_DIFF,
        "whole_file": WHOLE_FILE,
        "search_read_edit": SEARCH_READ_EDIT,
        "mode_limits": MODE_LIMITS,
        "ask_when_unclear": ASK_WHEN_UNCLEAR,
        "completion": COMPLETION,
        "recovery": RECOVERY,
        "long_context": LONG_CONTEXT,
        "odd_text": ODD_TEXT,
        "todo_turns": TODO_TURNS,
        "repetition": REPETITION,
        "mcp": MCP,
    },
    closed_tools=frozenset(("fetch_instructions",)),
)
"""An answer without a call is never right in these protocols, so there is no category for it."""


class RooProfile(ProfileBase):
    """A profile whose cases are made of scenarios; it adds how a scenario becomes a case of its protocol."""

    categories: tuple[str, ...] = tuple(CATALOGUE.categories)
    # The client reads the texts of `delta.content` and of `delta.tool_calls`, the latter by their index.
    unread_forms: Collection[str] = (
        *("shared_index", "object_arguments", "function_call"),
        *("message", "text", "content_parts", "refusal"),
    )
