"""`execute_command`: a command on the user's machine."""

from services.protocols.roo.file_text import decoded
from services.protocols.roo.normal_forms import defaulted, plain_command, plain_path
from services.protocols.roo.workspace import rules_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, hidden_file


def _execute(call: Call) -> Result:
    command = decoded(call.text("command"))
    if path := rules_of(call.state).hidden_argument(command):
        return hidden_file(path)
    folder = call.text_or("cwd", ".")
    return call.offered(
        lambda: f"The command ran in the folder '{folder}'. Exit code: 0\nOutput:\n{call.answer_of_case('')}"
    )


EXECUTE_COMMAND = Tool(
    name="execute_command",
    run=_execute,
    arguments={
        "command": Argument("filled", normal=plain_command),
        "cwd": Argument(normal=defaulted(".", plain_path)),
        "timeout": Argument(),
    },
    group="command",
    is_drilled=True,
)
