"""`search_files`: lines that a regular expression matches; `codebase_search`: places that fit a question."""

from services.protocols.roo.normal_forms import defaulted, plain_path
from services.protocols.roo.workspace import BadExpression, found_text
from services.protocols.roo_xml.tools.tool import Argument, Call, Result, Tool, error


def _search(call: Call) -> Result:
    return call.offered(lambda: lambda: _found(call))


def _found(call: Call) -> str:
    params = call.params
    try:
        return found_text(call.state, params["path"], params["regex"], params.get("file_pattern", ""))
    except BadExpression as bad:
        return error(f"The regular expression cannot be read: {bad}.")


def _title(call: Call) -> str:
    glob = call.params.get("file_pattern")
    return f" for '{call.params.get('regex', '')}'" + (f" in '{glob}'" if glob else "")


SEARCH_FILES = Tool(
    name="search_files",
    run=_search,
    required=("path", "regex"),
    optional=("file_pattern",),
    group="read",
    is_drilled=True,
    filled=("path", "regex"),
    lack_fails_turn=True,
    arguments={
        "path": Argument(normal=plain_path),
        "file_pattern": Argument(read=lambda text: text or None, normal=defaulted("*")),
    },
    title=_title,
)


CODEBASE_SEARCH = Tool(
    name="codebase_search",
    run=lambda call: call.answered("The index holds nothing that fits the query."),
    required=("query",),
    optional=("path",),
    group="read",
    filled=("query",),
    lack_fails_turn=True,
    # The client forgets it.
    records_lack=False,
    arguments={"path": Argument(normal=plain_path)},
    title="query",
)
