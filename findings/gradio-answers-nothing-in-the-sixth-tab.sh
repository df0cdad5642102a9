#!/bin/sh
# Package: gradio 6.31.0 (PyPI), an app with a gr.State; seen by playwright 1.65.2 in a Chromium of the machine.
# Expected: an app is shown in as many tabs of a browser as a person opens.
# What happens: with a gr.State each tab keeps a connection to /gradio_api/heartbeat open. A browser has six to a host over
# HTTP/1.1, so the sixth or seventh tab shows nothing while the others are open. Without the state all are shown.
# Way round: behind HTTP/2, or blocks.config["connect_heartbeat"] = False. Needs the command `chromium` (a package of Debian).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gradio==6.31.0 playwright==1.65.2
HOME="$work" GRADIO_ANALYTICS_ENABLED=False CHROMIUM="$(command -v chromium)" "$work/venv/bin/python" - <<'PYTHON'
import os

import gradio as gr
from playwright.sync_api import Error, sync_playwright


def num_shown(has_state: bool) -> int:
    with gr.Blocks() as blocks:
        if has_state:
            gr.State(0)
        box = gr.Textbox(label="Answer")
        blocks.load(lambda: "here", None, box)
    url = blocks.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)[1]
    count = 0
    with sync_playwright() as playwright:
        context = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"]).new_context()
        for _ in range(7):
            page = context.new_page()
            try:
                page.goto(url, timeout=60_000)
                page.wait_for_function("document.querySelector('textarea, input')?.value === 'here'", timeout=60_000)
                count += 1
            except Error:
                break
        context.browser.close()
    blocks.close()
    return count


without, with_state = num_shown(False), num_shown(True)
print("tabs that were shown, of 7: without a state", without, "and with one", with_state)
raise SystemExit(not with_state < without == 7)
PYTHON
