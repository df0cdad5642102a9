"""`codebase_search`: a search by meaning."""

from __future__ import annotations

from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, missing, plain_path


def _search(call: Call) -> Result:
    if lacking := call.lacks("query"):
        # The client does not record this failure.
        return missing(call, lacking, fails_turn=True, records_failure=False)
    return call.offered(lambda: call.answer_of_case("The index holds nothing that fits the query."))


CODEBASE_SEARCH = Tool(
    name="codebase_search",
    run=_search,
    arguments={"query": Argument("present"), "path": Argument(normal=plain_path)},
    group="read",
    use="rare",
)
