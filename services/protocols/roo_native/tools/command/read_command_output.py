"""`read_command_output`: the stored output of an earlier command."""

import re

from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, failed, mistake

_ARTIFACT = re.compile(r"cmd-[0-9]+\.txt")


def _read(call: Call) -> Result:
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
    run=_read,
    arguments={"artifact_id": Argument("present"), "search": Argument(), "offset": Argument(), "limit": Argument()},
    group="command",
    filled=("artifact_id",),
    lack_fails_turn=True,
)
