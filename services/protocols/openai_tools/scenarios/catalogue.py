"""The categories of scenarios, and the kinds of each."""

from services.protocols.material import SINGLE_CALL, Catalogue
from services.protocols.openai_tools.scenarios.calls import SINGLE_CALLS
from services.protocols.openai_tools.scenarios.edits import EDIT_BY_DIFF, WHOLE_FILE
from services.protocols.openai_tools.scenarios.limits import LIMITS
from services.protocols.openai_tools.scenarios.long_context import LONG_CONTEXT
from services.protocols.openai_tools.scenarios.odd_text import ODD_TEXT
from services.protocols.openai_tools.scenarios.recovery import RECOVERY
from services.protocols.openai_tools.scenarios.talk import ASK_WHEN_UNCLEAR, COMPLETION, NO_CALL_DUE
from services.protocols.openai_tools.scenarios.tasks import EXACT_ARGUMENTS, SEVERAL_CALLS, TOOL_CHOICE
from services.protocols.openai_tools.scenarios.turns import SEARCH_READ_EDIT, TODO_TURNS

CATALOGUE = Catalogue(
    __package__,
    {
        SINGLE_CALL: SINGLE_CALLS,
        "tool_choice": TOOL_CHOICE,
        "exact_arguments": EXACT_ARGUMENTS,
        "several_calls": SEVERAL_CALLS,
        "edit_by_diff": EDIT_BY_DIFF,
        "whole_file": WHOLE_FILE,
        "search_read_edit": SEARCH_READ_EDIT,
        "limits": LIMITS,
        "ask_when_unclear": ASK_WHEN_UNCLEAR,
        "completion": COMPLETION,
        "recovery": RECOVERY,
        "no_call_due": NO_CALL_DUE,
        "long_context": LONG_CONTEXT,
        "odd_text": ODD_TEXT,
        "todo_turns": TODO_TURNS,
    },
    closed_tools=frozenset(("ask_user",)),
    names_slots=True,
)
