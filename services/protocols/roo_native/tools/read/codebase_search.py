"""`codebase_search`: a search by meaning."""

from __future__ import annotations

from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo_native.tools.tool import Argument, Tool

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
