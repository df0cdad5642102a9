"""All of OpenAI's routes, and Anthropic's, mounted under `/v1`."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute

from ui.openai import chat, completions, feedback, models
from ui.openai.anthropic import messages
from ui.openai.errors import OpenAIError, OpenAIRoute
from ui.openai.fine_tuning import files, jobs

router = APIRouter()
ROUTES: list[tuple[str, str]] = []
for _part in (models, chat, completions, messages, feedback, files, jobs):
    router.include_router(_part.router)
    _own = (route for route in _part.router.routes if isinstance(route, APIRoute))
    ROUTES += [(verb, item.path) for item in _own for verb in item.methods or ()]
# A client that is pointed at such an address is recorded; its models are those of all.
for _part in (models, chat):
    router.include_router(_part.router, prefix="/sessions/{session_id}", include_in_schema=False)
ROUTES.append(("POST", "/sessions/{session_id}/chat/completions"))
_others = APIRouter(route_class=OpenAIRoute, include_in_schema=False)


@_others.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def refuse_other(path: str) -> None:
    """Say which routes there are."""
    problem = f"There is no route /v1/{path[:200]} for this method."
    names = "GET /v1/models, POST /v1/chat/completions, POST /v1/completions, POST /v1/messages, "
    names += "POST /v1/messages/count_tokens, POST /v1/feedback, /v1/files and /v1/fine_tuning/jobs; "
    names += "recorded under a name are GET /v1/sessions/NAME/models and POST /v1/sessions/NAME/chat/completions"
    raise OpenAIError(f"{problem} There are {names}.", status=404, code="unknown_url")


router.include_router(_others)
