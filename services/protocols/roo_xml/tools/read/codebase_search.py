"""`codebase_search`: places that fit a question by meaning."""

from __future__ import annotations

from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo_xml.tools.tool import Argument, Tool

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
