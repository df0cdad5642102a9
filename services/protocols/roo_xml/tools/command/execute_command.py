"""`execute_command`: a command in the terminal."""

from services.protocols.roo.normal_forms import defaulted, plain_command, plain_path
from services.protocols.roo_xml.tools.tool import Argument, Call, Result, Tool, failed


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
