"""`list_files` and `search_files`: what is in a folder; `codebase_search`: a search by meaning."""

from services.protocols.roo.normal_forms import defaulted, plain_path
from services.protocols.roo.workspace import BadExpression, found_text, listing
from services.protocols.roo_native.parse.values import optional_boolean, text_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, error


def _list(call: Call) -> Result:
    path = call.text("path", "reset")
    return call.offered(lambda: listing(call.state, path, recursive=call.arguments.get("recursive") is True))


LIST_FILES = Tool(
    name="list_files",
    run=_list,
    arguments={
        "path": Argument("present", normal=plain_path),
        "recursive": Argument(convert=optional_boolean, normal=defaulted(False)),
    },
    group="read",
    is_drilled=True,
    filled=("path",),
    lack_fails_turn=True,
)


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
