"""`run_slash_command`: an experiment that is switched off."""

from __future__ import annotations

from services.protocols.roo_native.tools.tool import Argument, Tool, switched_off

RUN_SLASH_COMMAND = Tool(
    name="run_slash_command",
    run=switched_off,
    arguments={"command": Argument("present"), "args": Argument()},
    use="rare",
)
