#!/bin/sh
# Package: gradio 6.31.0 (PyPI), gr.Navbar in an app of several pages; seen by playwright 1.65.2 in a Chromium of the machine.
# Expected: gr.Navbar(visible=False), "designed to control the appearance of the navigation bar", takes the menu off the page.
# What happens: the menu stands on top of every page, as it does without the component.
# An app with a menu of its own shows two. Needs the command `chromium` (a package of Debian).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gradio==6.31.0 playwright==1.65.2
HOME="$work" GRADIO_ANALYTICS_ENABLED=False CHROMIUM="$(command -v chromium)" "$work/venv/bin/python" - <<'PYTHON'
import os

import gradio as gr
from playwright.sync_api import sync_playwright


def app(hides: bool) -> gr.Blocks:
    with gr.Blocks() as blocks:
        if hides:
            gr.Navbar(visible=False)
        gr.Markdown("first")
    with blocks.route("Second", "/second"):
        if hides:
            gr.Navbar(visible=False)
        gr.Markdown("second")
    return blocks


def seen(hides: bool) -> list[bool]:
    blocks = app(hides)
    url = blocks.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)[1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        page, menus = browser.new_page(), []
        for path, text in (("", "first"), ("second", "second")):
            page.goto(url + path)
            page.get_by_text(text, exact=True).first.wait_for()
            page.wait_for_timeout(1500)
            menus.append(page.locator(".nav-holder").first.is_visible())
        browser.close()
    blocks.close()
    return menus


without, hidden = seen(False), seen(True)
print("menu is seen on both pages, without the component:", without, "and with one that is invisible:", hidden)
raise SystemExit((without, hidden) != ([True, True], [True, True]))
PYTHON
