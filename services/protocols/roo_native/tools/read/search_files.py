"""`search_files`: lines that a regular expression matches; `codebase_search`: a search by meaning."""

from services.protocols.roo.normal_forms import defaulted, plain_path
from services.protocols.roo.workspace import BadExpression, found_text
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, error


def _search(call: Call) -> Result:
    path = call.text("path", "reset")

    def hits() -> str:
        try:
            return found_text(call.state, path, text_of(call.arguments["regex"]), call.text_or("file_pattern", ""))
        except BadExpression as bad:
            return error(f"The regular expression cannot be read: {bad}.")

    return call.offered(hits)


SEARCH_FILES = Tool(
    name="search_files",
    run=_search,
    arguments={
        "path": Argument("present", normal=plain_path),
        "regex": Argument("present"),
        "file_pattern": Argument(normal=defaulted("*")),
    },
    group="read",
    is_drilled=True,
    filled=("path", "regex"),
    lack_fails_turn=True,
)


CODEBASE_SEARCH = Tool(
    name="codebase_search",
    run=lambda call: call.answered("The index holds nothing that fits the query."),
    arguments={"query": Argument("present"), "path": Argument(normal=plain_path)},
    group="read",
    use="rare",
    filled=("query",),
    lack_fails_turn=True,
    records_lack=False,
)
