"""What the pages share: cached readings, notices, and HTML that is sent only when it changed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext
from starlette.requests import Request

from services.chassis.errors import NotFound
from services.chassis.machine.caller import current_caller
from ui.gateway.access.caller import CALL_KEY, Call, Caller, Scope
from ui.gateway.access.events import event_of
from ui.gateway.site import PageSessions
from ui.shared import parts
from ui.shared.cache import OpenPages, ServiceCache, html_or_notice


def _cache() -> ServiceCache:
    app: Any = SimpleNamespace(state=SimpleNamespace(clients="clients"))
    return ServiceCache(app)


class _Action:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, *arguments: Any, **named: Any) -> int:
        self.asked.append((*arguments, *named.items()))
        await asyncio.sleep(0)
        return len(self.asked)


async def test_many_pages_that_ask_the_same_at_once_cost_one_call() -> None:
    cache, action = _cache(), _Action()
    answers = await asyncio.gather(*(cache.read(action, "run-1") for _ in range(20)))
    assert set(answers) == {1}
    assert action.asked == [("clients", "run-1")]


async def test_services_are_told_who_triggered_an_event() -> None:
    call = Call(Caller("user:ann", frozenset({Scope.TEST})), "")
    request = gr.Request(request=Request({"type": "http", "headers": [], CALL_KEY: call}))

    async def caller(_clients: Any) -> str:
        return current_caller.get()

    LocalContext.request.set(request)
    assert await _cache().read(caller) == "user:ann"
    LocalContext.request.set(None)
    assert await _cache().read(caller) == ""


async def test_another_question_is_another_call() -> None:
    cache, action = _cache(), _Action()
    await cache.read(action, "run-1")
    await cache.read(action, "run-2")
    await cache.read(action, "run-1", tool="read_file")
    assert len(action.asked) == 3


async def test_what_was_read_is_read_anew_after_a_second_or_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, action, now = _cache(), _Action(), [10.0]
    monkeypatch.setattr("ui.shared.cache.time.monotonic", lambda: now[0])
    assert await cache.read(action) == 1
    now[0] += 0.9
    assert await cache.read(action) == 1
    now[0] += 0.2
    assert await cache.read(action) == 2
    cache.forget()
    assert await cache.read(action) == 3


async def test_a_page_that_goes_away_does_not_end_the_reading_of_another() -> None:
    cache, gate = _cache(), asyncio.Event()

    async def slow(_clients: Any) -> str:
        await gate.wait()
        return "read"

    leaving, staying = (asyncio.ensure_future(cache.read(slow)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await staying == "read"


async def test_memory_stays_bounded_under_many_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, now = _cache(), [0.0]
    monkeypatch.setattr("ui.shared.cache.time.monotonic", lambda: now[0])
    action = _Action()
    for number in range(2000):
        now[0] += 0.01
        await cache.read(action, number)
    assert len(cache._entries) < 700


async def test_an_error_is_a_notice_with_what_to_do() -> None:
    async def broken() -> str:
        raise NotFound("There is no run 'x<b>'.", "List the runs.")

    html = await html_or_notice(broken())
    assert 'role="alert"' in html
    assert "x&lt;b&gt;" in html
    assert "List the runs." in html


async def test_of_a_page_that_is_open_its_state_is_kept_and_no_copy_of_all_settings() -> None:
    with gr.Blocks() as blocks:
        state, box = gr.State([]), gr.Textbox()
    sessions: Any = PageSessions()  # type: ignore[no-untyped-call]
    sessions.set_blocks(blocks)
    session = sessions["one"]
    session[state._id].append("seen")
    session._update_value_in_config(box._id, "told")
    assert sessions["one"] is session and sessions["one"][state._id] == ["seen"] and sessions["two"][state._id] == []
    assert list(session.config_values) == [box._id] and sessions["two"].config_values == {}


def test_html_is_sent_once_and_again_only_when_it_changed() -> None:
    shown: dict[str, int] = {}
    assert parts.changed(shown, a="1", b="2") == ["1", "2"]
    again = parts.changed(shown, a="1", b="3")
    assert again[0] == gr.skip()
    assert again[1] == "3"


def test_the_more_pages_are_open_the_more_seldom_each_asks() -> None:
    pages = OpenPages()
    waits: dict[int, float] = {}

    def ask(count: int, now: float) -> set[float | None]:
        answers = {page: pages.interval(str(page), 1.5, waits.get(page, 1.5), now) for page in range(count)}
        waits.update({page: seconds for page, seconds in answers.items() if seconds is not None})
        return set(answers.values())

    assert ask(30, 0.0) == {None} and ask(30, 1.5) == {None}
    ask(200, 3.0)
    # Each learns it with its next question, and once.
    assert ask(200, 12.0) == {None, 9.0} and ask(200, 21.0) == {None}
    # Those that ask no more are forgotten, and the others go on as before.
    assert [ask(10, now) for now in (30.0, 46.0, 62.0)] == [{None}, {1.5}, {None}]
    # So was this one, while nobody saw it; it tells that it still waits for long.
    assert pages.interval("150", 1.5, waits[150], 63.0) == 1.5


async def test_a_page_that_is_kept_fresh_gets_its_timer_s_new_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = _cache()
    monkeypatch.setattr(cache.open_pages, "interval", lambda _page, seconds, current: seconds * current)

    async def refresh(text: str) -> list[Any]:
        return [text.upper()]

    with gr.Blocks() as blocks:
        box = gr.Textbox()
        parts.keep_fresh(cache, refresh, [box], [box])
    (event,) = blocks.fns.values()
    assert event.fn is not None and event_of(event.fn) == event_of(refresh)
    text, timer = await event.fn(4.0, "a")
    assert (text, timer.value) == ("A", 4 * parts.TICK_SECONDS)
    assert [type(block) for block in event.inputs] == [gr.Timer, gr.Textbox]
    assert [type(block) for block in event.outputs] == [gr.Textbox, gr.Timer]
