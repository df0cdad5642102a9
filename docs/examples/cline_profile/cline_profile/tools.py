"""The tools: what each takes, and in which mode it is offered."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

CLIENT_VERSION = "3.30.0"
MODES = ("act", "plan")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool: its parameters, and the modes that offer it."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES

    @property
    def parameters(self) -> tuple[str, ...]:
        """All parameters."""
        return (*self.required, *self.optional)


TOOLS = MappingProxyType(
    {
        "read_file": ToolSpec(("path",)),
        "list_files": ToolSpec(("path",), ("recursive",)),
        "write_to_file": ToolSpec(("path", "content"), modes=("act",)),
        "replace_in_file": ToolSpec(("path", "diff"), modes=("act",)),
        "execute_command": ToolSpec(("command", "requires_approval"), modes=("act",)),
        "ask_followup_question": ToolSpec(("question",), ("options",)),
        "attempt_completion": ToolSpec(("result",), ("command",), modes=("act",)),
        "plan_mode_respond": ToolSpec(("response",), modes=("plan",)),
    }
)

PARAMETERS = tuple(dict.fromkeys(name for spec in TOOLS.values() for name in spec.parameters))
