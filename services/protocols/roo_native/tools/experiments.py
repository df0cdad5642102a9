"""Experiments that are switched off."""

from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo_native.tools.tool import Argument, Tool, switched_off

EXPERIMENTS = (
    Tool(
        name="generate_image",
        run=switched_off,
        arguments={"prompt": Argument("present"), "path": Argument("present", normal=plain_path), "image": Argument()},
        group="edit",
        use="rare",
    ),
    Tool(
        name="run_slash_command",
        run=switched_off,
        arguments={"command": Argument("present"), "args": Argument()},
        use="rare",
    ),
)
