"""What the pages share: cached readings, notices, and HTML that is sent only when it changed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from services.chassis.errors import NotFound
from ui.shared import parts
from ui.shared.desk import Desk, html_or_notice


def _desk() -> Desk:
    app: Any = SimpleNamespace(state=SimpleNamespace(clients="clients"))
    return Desk(app)


class _Action:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, *arguments: Any, **named: Any) -> int:
        self.asked.append((*arguments, *named.items()))
        await asyncio.sleep(0)
        return len(self.asked)


async def test_many_pages_that_ask_the_same_at_once_cost_one_call() -> None:
    desk, action = _desk(), _Action()
    answers = await asyncio.gather(*(desk.read(action, "run-1") for _ in range(20)))
    assert set(answers) == {1}
    assert action.asked == [("clients", "run-1")]


async def test_another_question_is_another_call() -> None:
    desk, action = _desk(), _Action()
    await desk.read(action, "run-1")
    await desk.read(action, "run-2")
    await desk.read(action, "run-1", tool="read_file")
    assert len(action.asked) == 3


async def test_what_was_read_is_read_anew_after_a_second_or_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, action, now = _desk(), _Action(), [10.0]
    monkeypatch.setattr("ui.shared.desk.time.monotonic", lambda: now[0])
    assert await desk.read(action) == 1
    now[0] += 0.9
    assert await desk.read(action) == 1
    now[0] += 0.2
    assert await desk.read(action) == 2
    desk.forget()
    assert await desk.read(action) == 3


async def test_a_page_that_goes_away_does_not_end_the_reading_of_another() -> None:
    desk, gate = _desk(), asyncio.Event()

    async def slow(_clients: Any) -> str:
        await gate.wait()
        return "read"

    leaving, staying = (asyncio.ensure_future(desk.read(slow)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await staying == "read"


async def test_memory_stays_bounded_under_many_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, now = _desk(), [0.0]
    monkeypatch.setattr("ui.shared.desk.time.monotonic", lambda: now[0])
    action = _Action()
    for number in range(2000):
        now[0] += 0.01
        await desk.read(action, number)
    assert len(desk._readings) < 700


async def test_an_error_is_a_notice_with_what_to_do() -> None:
    async def broken() -> str:
        raise NotFound("There is no run 'x<b>'.", "List the runs.")

    html = await html_or_notice(broken())
    assert 'role="alert"' in html
    assert "x&lt;b&gt;" in html
    assert "List the runs." in html


def test_html_is_sent_once_and_again_only_when_it_changed() -> None:
    shown: dict[str, int] = {}
    assert parts.changed(shown, a="1", b="2") == ["1", "2"]
    again = parts.changed(shown, a="1", b="3")
    assert again[0] == gr.skip()
    assert again[1] == "3"


def test_an_emptied_number_field_counts_as_its_default() -> None:
    assert [parts.whole(value, 7) for value in (None, 0, 3.0)] == [7, 0, 3]
