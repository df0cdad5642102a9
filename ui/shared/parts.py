"""Pieces that the pages share: the frame, pickable lists, choices, live refresh."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any
from urllib.parse import unquote

import gradio as gr

from services.protocols.profile import UnknownProfile, get_profile
from ui.shared.cache import ServiceCache, request_of_event
from ui.shared.environment import PAGES, render

TICK_SECONDS = 1.5

# A click on anything that carries `data-select` becomes a `select` event. What is open, and what was clicked, is kept
# in the page's address, so that it can be bookmarked and shared. A notice that blames a field is repeated beside it.
_PICK = """
const blame = () => {
  document.querySelectorAll(`.dy-blame[data-by="${element.parentElement?.id || 'page'}"]`).forEach((one) => {
    one.parentElement.querySelectorAll('[aria-invalid]').forEach((field) => {
      field.removeAttribute('aria-invalid');
      field.removeAttribute('aria-describedby');
    });
    one.remove();
  });
  const found = element.querySelector('[data-blames]');
  const block = found && document.getElementById(found.dataset.blames);
  if (!block) return;
  for (let box = block.parentElement; box; box = box.parentElement) {
    const fold = box.querySelector(':scope > button.label-wrap:not(.open)');
    if (fold) fold.click();
  }
  const sentence = document.createElement('p');
  sentence.className = 'dy-blame';
  sentence.id = `${block.id}-blame`;
  sentence.dataset.by = element.parentElement?.id || 'page';
  sentence.textContent = found.textContent;
  block.append(sentence);
  const field = block.querySelector('input, textarea');
  if (!field) return;
  field.setAttribute('aria-invalid', 'true');
  field.setAttribute('aria-describedby', sentence.id);
  setTimeout(() => field.focus(), 200);
};
const keep = (name, value) => {
  const url = new URL(window.location);
  if (!name || url.searchParams.get(name) === value) return;
  if (name !== 'transcript') url.searchParams.delete('transcript');
  url.searchParams.set(name, value);
  window.history.replaceState(null, '', url);
};
watch('value', () => {
  const one = element.querySelector('[data-open]');
  if (one) keep(one.dataset.param, one.dataset.open);
  setTimeout(blame, 60);
});
element.addEventListener('click', (event) => {
  const one = event.target.closest('[data-select]');
  if (!one || event.target.closest('a')) return;
  event.preventDefault();
  keep(one.dataset.param, one.dataset.select);
  trigger('select', {value: one.dataset.select});
});
"""


def frame(title: str, sentence: str) -> None:
    """Begin a page: the navigation and the page's title."""
    gr.HTML(render("shared/header", pages=PAGES, current=title), elem_id="header", apply_default_css=False)
    gr.HTML(render("shared/title", title=title, sentence=sentence), elem_id="title", apply_default_css=False)


def area(name: str, *, waits: bool = False) -> gr.HTML:
    """Return a place for HTML; a click on a row in it makes a `select` event with the row's id.

    Args:
        name: Its element's id.
        waits: Show that something is being loaded until the first HTML comes.
    """
    return gr.HTML(render("shared/loading") if waits else "", elem_id=name, apply_default_css=False, js_on_load=_PICK)


def root() -> Any:
    """Return the page that is being built, whose `load` event comes when it is opened."""
    blocks = gr.context.Context.root_block
    assert blocks is not None
    return blocks


def keep_fresh(
    cache: ServiceCache,
    refresh: Callable[..., Awaitable[list[Any]]],
    inputs: list[Any],
    outputs: list[Any],
    *,
    seconds: float = TICK_SECONDS,
    on_load: bool = False,
) -> None:
    """Ask `refresh` for the outputs every few seconds while the page is seen, more seldom while very many are open."""
    timer = gr.Timer(seconds)

    @wraps(refresh)
    async def refreshed(current: float, *values: Any) -> list[Any]:
        request = request_of_event()
        name = f"{request.session_hash if request else ''} {refresh.__module__}"
        interval = cache.open_pages.interval(name, seconds, current)
        return [*await refresh(*values), gr.skip() if interval is None else gr.Timer(value=interval)]

    # By which the page framework counts the inputs.
    own, inner = inspect.signature(refreshed, follow_wrapped=False), inspect.signature(refresh)
    parameters = [own.parameters["current"], *inner.parameters.values()]
    refreshed.__signature__ = inner.replace(parameters=parameters)  # type: ignore[attr-defined]
    starts = [root().load, timer.tick] if on_load else [timer.tick]
    gr.on(starts, refreshed, [timer, *inputs], [*outputs, timer], show_progress="hidden", api_visibility="private")


def picked(event: gr.EventData) -> str:
    """Return the id that a `select` event carries."""
    return str(event._data.get("value", "")) if isinstance(event._data, dict) else ""


def query(request: gr.Request, name: str) -> str:
    """Return a parameter of the page's address, eight ids at the most, or an empty text."""
    return str(request.query_params.get(name, ""))[:400]


def zone(request: gr.Request) -> str:
    """Return the name of the person's time zone, which the page's script has told; empty before that."""
    return unquote(str(request.cookies.get("drillyard_zone", "")))[:64]


def choices(names: Sequence[str], request: str) -> Any:
    """Return a dropdown's update: its choices, with `wanted` chosen if there, else the first."""
    chosen = request if request in names else next(iter(names), None)
    return gr.Dropdown(choices=list(names), value=chosen)


def prompt_sizes(profile_id: str, chosen: str) -> Any:
    """Return a radio's update: the prompt sizes of a protocol, with `chosen` kept where it is one of them."""
    try:
        sizes = get_profile(profile_id).prompt_sizes
    except UnknownProfile:
        return gr.skip()
    return gr.Radio(choices=list(sizes), value=chosen if chosen in sizes else sizes[0], visible=len(sizes) > 1)


def changed(shown: dict[str, int], **areas: str) -> list[Any]:
    """Return the areas' new HTML; what the browser shows already is skipped.

    Args:
        shown: Kept per open page: what it was last sent.
        areas: HTML by area, in the order of the outputs.
    """
    updates: list[Any] = []
    for name, html in areas.items():
        updates.append(gr.skip() if shown.get(name) == hash(html) else html)
        shown[name] = hash(html)
    return updates
