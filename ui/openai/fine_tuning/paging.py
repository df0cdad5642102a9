"""Lists as OpenAI pages them, and routes that refuse query parameters that they do not know."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from ui.openai.errors import OpenAIError, OpenAIRoute
from ui.shared.documents import Document
from ui.shared.rpc import query_names


class FineTuningRoute(OpenAIRoute):
    """A route on which a mistyped filter does not let everything through."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer, names = super().get_route_handler(), query_names(self.dependant)

        async def answered(request: Request) -> Response:
            unknown = next((name for name in request.query_params if name not in names), None)
            if unknown is not None:
                problem = f"Unknown parameter: {unknown[:80]!a}."
                error = OpenAIError(problem, param=unknown[:80], code="unknown_parameter")
                return JSONResponse(error.body, status_code=error.status)
            return await answer(request)

        return answered


def page_of(documents: Sequence[Document], after: str, limit: int) -> Document:
    """Return the documents behind the one of the id `after`.

    Raises:
        OpenAIError: There is none of that id.
    """
    places = [place for place, document in enumerate(documents) if document["id"] == after]
    if after and not places:
        raise OpenAIError(f"There is no entry {after[:200]!a} to list after.", param="after", code="invalid_value")
    start = places[0] + 1 if after else 0
    page = documents[start : start + limit]
    return listed(page, has_more=start + limit < len(documents))


def listed(page: Sequence[Document], *, has_more: bool) -> Document:
    """Return a page in OpenAI's form."""
    ids = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"object": "list", "data": list(page), "has_more": has_more, **ids}
