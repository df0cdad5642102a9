"""An answer of the playground is rated, corrected and compared beside it, as the conversation that it ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
from drillyard.feedback.v1.feedback_item_pb2 import CreateFeedbackItemRequest, CreateFeedbackItemResponse
from drillyard.test_runner.v1.transcript_pb2 import Message

from ui.evaluations.feedback.box import FeedbackBox
from ui.playground.form import MESSAGES, PlaygroundForm, playground_form
from ui.playground.page import _Page, build
from ui.playground.sides import Side, SoFar, Talks
from ui.shared.cache import ServiceCache


class FakeFeedback:
    def __init__(self) -> None:
        self.requests: list[CreateFeedbackItemRequest] = []

    async def CreateFeedbackItem(self, request: CreateFeedbackItemRequest) -> CreateFeedbackItemResponse:
        self.requests.append(request)
        return CreateFeedbackItemResponse()


async def test_what_a_person_says_is_of_the_conversation_with_its_system_prompt() -> None:
    feedback = FakeFeedback()
    application: Any = SimpleNamespace(state=SimpleNamespace(clients=SimpleNamespace(feedback=feedback)))
    cache = ServiceCache(application)
    with gr.Blocks():
        form: PlaygroundForm = playground_form()
        first, second, box = Side(), Side("beside-"), FeedbackBox(cache, has_turns=False)
    page, so_far = _Page(cache, form, Talks(form, first, second), box), first.so_far
    values: dict[Any, Any] = {component: getattr(component, "value", None) for component in form.components()}
    values |= {form.model: "tiny@1", form.system: "Be brief.", so_far: SoFar()}
    nothing = await page.review(values)
    assert nothing[0] == {} and nothing[2] == "" and not nothing[4].visible
    said = (Message(role="user", content="Hi."), Message(role="assistant", content="Hello!"))
    values[so_far] = SoFar(("another case",), said)
    assert (await page.review(values))[0] == {}
    values[so_far] = SoFar((MESSAGES,), said)
    subject, _, html, right, column, _ = await page.review(values)
    assert "stars 5" in html and right == "Hello!" and column.visible
    await box._saver("correction")(subject, 0, "ann", "Hi.")
    event: Any = SimpleNamespace(_data={"value": "stars 2"}, target=None)
    assert "It is kept" in await box._rate(subject, 0, "ann", "", event)
    correction, rating = [request.spec for request in feedback.requests]
    assert [message.role for message in correction.chat.messages] == ["system", "user", "assistant"]
    assert (correction.chat.model_version_id, correction.correction.answers[0].content) == ("tiny@1", "Hi.")
    assert rating.rating.value == 2 and not rating.transcript_id


async def test_whoever_chooses_a_case_and_comes_back_begins_again() -> None:
    application: Any = SimpleNamespace(state=SimpleNamespace())
    with gr.Blocks() as page:
        build(ServiceCache(application))
    (asked,) = [event for event in page.fns.values() if event.name == "ask"]
    names = ("playground-source", "playground-suite", "playground-case")
    for chosen in [block for block in page.blocks.values() if getattr(block, "elem_id", "") in names]:
        begins = [event for event in page.fns.values() if (chosen._id, "input") in event.targets]
        assert any(asked.outputs[1] in event.outputs for event in begins), chosen.elem_id
