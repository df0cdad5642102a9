"""`run_slash_command`: a command of the user's own, which only an experiment brings."""

from __future__ import annotations

from services.protocols.roo_xml.tools.tool import Tool, opted_out

RUN_SLASH_COMMAND = Tool(
    name="run_slash_command", run=opted_out, required=("command",), optional=("args",), title="command"
)
