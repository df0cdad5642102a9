"""`execute_command`, `read_command_output`, and experiments that are switched off."""

import re

from services.protocols.roo.normal_forms import decoded, defaulted, plain_command, plain_path
from services.protocols.roo.workspace import rules_of
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import (
    Argument,
    Call,
    Result,
    Tool,
    failed,
    hidden_file,
    mistake,
    switched_off,
)


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


_ARTIFACT = re.compile(r"cmd-[0-9]+\.txt")


def _read_output(call: Call) -> Result:
    artifact = text_of(call.arguments["artifact_id"])
    if not _ARTIFACT.fullmatch(artifact):
        sentence = f"{artifact!r} is no artifact; their names are like cmd-1706119234567.txt."
        return mistake("bad_artifact_id", sentence, fails_turn=True)
    output = call.answer_of_case("")
    if not output:
        return failed("file_not_found", f"There is no stored output {artifact}.", fails_turn=True)
    return call.offered(lambda: output)


READ_COMMAND_OUTPUT = Tool(
    name="read_command_output",
    run=_read_output,
    arguments={"artifact_id": Argument("present"), "search": Argument(), "offset": Argument(), "limit": Argument()},
    group="command",
    filled=("artifact_id",),
    lack_fails_turn=True,
)


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
