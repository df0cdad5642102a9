"""Which scope each event of a page asks for; an event that has no rule here is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.errors import InvalidArgument, PermissionDenied, ServiceError
from ui.gateway.access.caller import CALL_KEY, Call
from ui.gateway.access.caller import Scope as AccessScope
from ui.gateway.errors import PROBLEM_TYPE, status_of
from ui.gateway.middleware.bodies import JsonRequest

_JOIN = "/gradio_api/queue/join"
_READING = {
    "ui.comparisons.page": "_Page.compare _Page.offer _Page.open",
    "ui.comparisons.side_by_side": "SideBySideBox.begin SideBySideBox.choose SideBySideBox.open SideBySideBox.show",
    "ui.diagnoses.page": "_Page.open",
    "ui.evaluations.feedback.page": "_Page.choose _Page.open _Page.refresh",
    "ui.evaluations.feedback.session_page": "_Page.choose _Page.choose_answer _Page.open _Page.refresh",
    "ui.gateway.home.page": "_Page.refresh",
    "ui.loops.page": "_Page.open _Page.refresh",
    "ui.loops.schedules.page": "_Page.open _Page.refresh",
    "ui.models.exports.box": "_Box.refresh",
    "ui.models.page": "_Page.draw _Page.open _Page.refresh",
    "ui.playground.form": "_source_shown",
    "ui.playground.page": "_Page.begin _Page.cases _Page.open _Page.preview _Page.review",
    "ui.shared.parts": "picked prompt_sizes",
    "ui.shipping.deployments.page": "_Page.open _Page.refresh",
    "ui.shipping.shipments.page": "_Page.open _Page.refresh",
    "ui.test_runs.form": "sizes_shown subject_shown",
    "ui.test_runs.page": "_Page.choose_run _Page.choose_verdict _Page.open _Page.refresh",
    "ui.test_suites.page": "_Page.choose _Page.choose_case _Page.open _Page.refresh",
    "ui.training_jobs.comparing": "CompareBox.offer CompareBox.open CompareBox.show",
    "ui.training_jobs.datasets.page": "_Page.choose _Page.narrow _Page.open _Page.read _Page.refresh",
    "ui.training_jobs.form": "TrainForm.visibility",
    "ui.training_jobs.page": "_Page.open _Page.refresh",
}
# What a page's own build makes shows and hides what is there already.
_BUILD = "build.<locals>.<lambda>"
_WRITING: Mapping[str, AccessScope] = {
    "ui.diagnoses.page:_Page.examine": AccessScope.TEST,
    "ui.evaluations.feedback.box:FeedbackBox._rate": AccessScope.FEEDBACK,
    "ui.evaluations.feedback.box:FeedbackBox._saver.<locals>.save": AccessScope.FEEDBACK,
    "ui.evaluations.feedback.import_box:ImportBox.start": AccessScope.FEEDBACK,
    "ui.evaluations.feedback.page:_Page.withdraw": AccessScope.FEEDBACK,
    "ui.evaluations.feedback.session_page:_Page.forget": AccessScope.FEEDBACK,
    "ui.evaluations.feedback.session_page:_Page.keep": AccessScope.FEEDBACK,
    "ui.evaluations.feedback.session_page:_Page.make_suite": AccessScope.FEEDBACK,
    "ui.loops.page:_Page.cancel": AccessScope.TRAIN,
    "ui.loops.page:_Page.delete": AccessScope.TRAIN,
    "ui.loops.page:_Page.start": AccessScope.TRAIN,
    "ui.loops.schedules.page:_Page.create": AccessScope.TRAIN,
    "ui.loops.schedules.page:_Page.steering.<locals>.steer": AccessScope.TRAIN,
    "ui.loops.story:Answers.approve": AccessScope.TRAIN,
    "ui.loops.story:Answers.decide": AccessScope.TRAIN,
    "ui.models.exports.box:_Box.cancel_export": AccessScope.TRAIN,
    "ui.models.exports.box:_Box.cancel_publication": AccessScope.PUBLISH,
    "ui.models.exports.box:_Box.export": AccessScope.TRAIN,
    "ui.models.exports.box:_Box.publish": AccessScope.PUBLISH,
    "ui.models.import_box:_Box.cancel": AccessScope.TRAIN,
    "ui.models.import_box:_Box.start": AccessScope.TRAIN,
    "ui.models.import_box:_Box.uploaded": AccessScope.TRAIN,
    "ui.models.page:_Page.delete": AccessScope.TRAIN,
    "ui.playground.page:_Page.ask": AccessScope.TEST,
    "ui.playground.saving:CaseBox.save": AccessScope.FEEDBACK,
    "ui.shipping.deployments.page:_Page.act": AccessScope.PUBLISH,
    "ui.shipping.deployments.page:_Page.delete": AccessScope.PUBLISH,
    "ui.shipping.deployments.page:_Page.deploy": AccessScope.PUBLISH,
    "ui.shipping.deployments.page:_Page.point": AccessScope.PUBLISH,
    "ui.shipping.deployments.page:_Page.start": AccessScope.PUBLISH,
    "ui.shipping.shipments.page:_Page.cancel": AccessScope.PUBLISH,
    "ui.shipping.shipments.page:_Page.start": AccessScope.PUBLISH,
    "ui.test_runs.page:_Page.act": AccessScope.TEST,
    "ui.test_runs.page:_Page.start": AccessScope.TEST,
    "ui.test_suites.page:_Page.check": AccessScope.TEST,
    "ui.test_suites.page:_Page.delete": AccessScope.TEST,
    "ui.test_suites.page:_Page.register": AccessScope.TEST,
    "ui.training_jobs.datasets.import_box:ImportBox.cancel": AccessScope.TRAIN,
    "ui.training_jobs.datasets.import_box:ImportBox.check": AccessScope.TRAIN,
    "ui.training_jobs.datasets.import_box:ImportBox.start": AccessScope.TRAIN,
    "ui.training_jobs.datasets.page:_Page.drop": AccessScope.TRAIN,
    "ui.training_jobs.datasets.page:_Page.save": AccessScope.TRAIN,
    "ui.training_jobs.datasets.page:_Page.start": AccessScope.TRAIN,
    "ui.training_jobs.datasets.publish_box:PublishBox.cancel": AccessScope.PUBLISH,
    "ui.training_jobs.datasets.publish_box:PublishBox.publish": AccessScope.PUBLISH,
    "ui.training_jobs.page:_Page.act": AccessScope.TRAIN,
    "ui.training_jobs.page:_Page.drop_dataset": AccessScope.TRAIN,
    "ui.training_jobs.page:_Page.look": AccessScope.TRAIN,
    "ui.training_jobs.page:_Page.start": AccessScope.TRAIN,
}
EVENTS: Mapping[str, AccessScope] = {
    **{f"{module}:{name}": AccessScope.READ for module, names in _READING.items() for name in names.split()},
    **_WRITING,
}


def event_of(function: Any) -> str:
    """Return the name of the event that a function of a page answers."""
    return f"{function.__module__}:{function.__qualname__}"


def scope_of(event: str) -> AccessScope | None:
    """Return the scope that an event asks for; None: it has no rule."""
    return AccessScope.READ if event.startswith("ui.") and event.endswith(f":{_BUILD}") else EVENTS.get(event)


class PageEvents:
    """ASGI middleware in front of the pages: who triggers an event must have the scope that it asks for.

    Args:
        app: The pages.
        events: Name of each event that has a function, by its number in the page framework.
    """

    def __init__(self, app: ASGIApp, events: Mapping[int, str]) -> None:
        self._app, self._events = app, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 or 403."""
        # Below whatever path a proxy shows the pages.
        if scope["type"] != "http" or not scope["path"].endswith(_JOIN):
            await self._app(scope, receive, send)
            return
        request = JsonRequest(scope, receive)
        try:
            self._check(await _document(request), scope[CALL_KEY])
        except ServiceError as error:
            # The page framework shows what a refusal has under this name.
            facts = {"code": error.code, "problem": error.problem, "next_step": error.next_step, "detail": str(error)}
            await JSONResponse(facts, status_of(error), media_type=PROBLEM_TYPE)(scope, receive, send)
            return
        await self._app(scope, _repeated(await request.body(), receive), send)

    def _check(self, document: Any, call: Call) -> None:
        number = document.get("fn_index") if isinstance(document, dict) else None
        event = self._events.get(number, "") if type(number) is int else ""
        scope = scope_of(event)
        if scope is None:
            raise PermissionDenied("No rule allows this event of a page.", "Load the page again.")
        if not call.caller.may(frozenset({scope})):
            raise PermissionDenied(
                f"This asks for the scope {scope}, which {call.caller.name} does not have.", "Ask the gateway's admin."
            )
        call.action = "" if scope is AccessScope.READ else event


async def _document(request: JsonRequest) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise InvalidArgument("The event is no JSON.", "Load the page again.") from error


def _repeated(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read once more, and then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
