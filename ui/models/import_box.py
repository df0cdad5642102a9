"""The part of the page Models that brings models in."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from drillyard.registry.v1.artifact_pb2 import Artifact

from services.chassis.errors import ServiceError
from ui.models.actions import NewImport, cancel_import, start_import
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.environment import render

# Sends the chosen files in parts and makes a `select` event of the artifact that they become. What came before a break,
# or before the page was left, is asked for and not sent again.
_UPLOAD = """
const PART = 8 << 20, TRIES = 8;
const [bar, line, stop] = ['.bar', '[role=status]', '[data-stop]'].map((one) => element.querySelector(one));
let stopped = false;
const show = (isShown) => { for (const one of [bar, stop]) one.style.display = isShown ? '' : 'none'; };
show(false);
const ask = async (verb, path, body) => {
  const json = body !== undefined && !(body instanceof Blob);
  const type = json ? 'application/json' : 'application/octet-stream';
  const answer = await fetch(`./api/v1/uploads${path}`, {
    method: verb, body: json ? JSON.stringify(body) : body, headers: body === undefined ? {} : {'Content-Type': type},
  });
  const told = await answer.json();
  if (answer.ok) return told;
  throw Object.assign(new Error(`${told.problem} ${told.next_step}`), {status: answer.status});
};
const begin = async (files, key) => {
  const earlier = localStorage.getItem(key);
  if (earlier) try { return (await ask('GET', `/${earlier}`)).upload; } catch (error) { localStorage.removeItem(key); }
  const {upload} = await ask('POST', '', {files: files.map(({name, size}) => ({name, size_bytes: size}))});
  localStorage.setItem(key, upload.upload_id);
  return upload;
};
const send = async (id, {name, file}, start, tell) => {
  let failures = 0, place = start;
  while (place < file.size && !stopped) {
    try {
      const path = `/${id}/files/${name.split('/').map(encodeURIComponent).join('/')}?offset=${place}`;
      place = (await ask('PUT', path, file.slice(place, place + PART))).received_bytes;
      failures = 0;
    } catch (error) {
      const passes = error.status === undefined || error.status === 409 || error.status >= 429;
      if (!passes || ++failures >= TRIES) throw error;
      await new Promise((go) => setTimeout(go, Math.min(200 * 2 ** failures, 10000)));
      const {upload} = await ask('GET', `/${id}`).catch(() => ({upload: {files: []}}));
      place = upload.files.find((one) => one.name === name)?.received_bytes ?? place;
    }
    tell(place);
  }
};
const run = async (chosen, isFolder) => {
  const files = [...chosen].map((file) => ({
    file, size: file.size, name: isFolder ? file.webkitRelativePath.split('/').slice(1).join('/') : file.name,
  })).filter(({name}) => name.split('/').length <= 2 && !/(^|\\/)\\./.test(name));
  const total = files.reduce((sum, {size}) => sum + size, 0), mega = (size) => (size / 1e6).toFixed(1);
  const key = `drillyard-upload:${JSON.stringify(files.map(({name, size}) => [name, size]))}`;
  stopped = false;
  show(true);
  try {
    const upload = await begin(files, key);
    let done = 0;
    for (const one of files) {
      const start = upload.files.find(({name}) => name === one.name)?.received_bytes ?? 0;
      const before = done;
      await send(upload.upload_id, one, start, (place) => {
        const share = 100 * (before + place) / Math.max(total, 1);
        bar.firstElementChild.style.width = `${share}%`;
        bar.setAttribute('aria-valuenow', share.toFixed(1));
        line.textContent = `${mega(before + place)} of ${mega(total)} MB`;
      });
      if (stopped) { line.textContent += ' · stopped; choose the same files to go on.'; return; }
      done += one.size;
    }
    line.textContent = 'Checking what has come.';
    const {artifact} = await ask('POST', `/${upload.upload_id}/finish`);
    localStorage.removeItem(key);
    line.textContent = `${mega(total)} MB are uploaded.`;
    const name = isFolder ? chosen[0].webkitRelativePath.split('/')[0] : files[0].name;
    trigger('select', {value: JSON.stringify({artifact, name})});
  } catch (error) {
    line.textContent = error.message;
  } finally {
    show(false);
  }
};
element.addEventListener('change', (event) => {
  const {files, webkitdirectory} = event.target;
  if (files?.length) run(files, webkitdirectory);
});
element.addEventListener('click', (event) => { if (event.target.closest('[data-stop]')) stopped = true; });
"""


def build(cache: ServiceCache) -> tuple[gr.HTML, gr.HTML]:
    """Build the box and return the places of what it says and of the list of imports."""
    box = _Box(cache)
    with gr.Column(elem_classes="dy-form"):
        source = _text(
            "Import a model",
            "hf:owner/name · ollama:name:tag · oci:… · https://….gguf · or a path on the registry's machine.",
            "hf:HuggingFaceTB/SmolLM2-135M-Instruct",
            "import-source",
        )
        name = _text("Name of the model", "Empty: made from the source.", "smollm2-135m-instruct", "import-name")
        with gr.Accordion("More", open=False):
            base = _text("Base of an adapter", "A version; empty: by the adapter's settings.", "small@1", "import-base")
            secret = _text("Secret", "Name of the secret with the source's token.", "hugging-face", "import-secret")
        start = gr.Button("Import", variant="primary", elem_id="import-start")
        upload = gr.HTML(render("models/upload"), elem_id="import-upload", apply_default_css=False, js_on_load=_UPLOAD)
        message = parts.area("import-message")
    imports = parts.area("imports")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    words = [source, name, base, secret]
    gr.on([start.click, source.submit, name.submit], box.start, words, [message], **quiet)
    upload.select(box.uploaded, words, [message], **quiet)
    imports.select(box.cancel, None, [message], **quiet)
    return message, imports


def _text(label: str, info: str, placeholder: str, element: str) -> gr.Textbox:
    # One that was never unfolded would have no value without it.
    return gr.Textbox("", label=label, info=info, placeholder=placeholder, max_length=4096, elem_id=element)


class _Box:
    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache

    async def start(self, source: str, name: str, base: str, secret: str) -> str:
        """Start the import that was filled in."""
        return await self._begin(NewImport(source.strip(), name.strip(), base.strip(), secret.strip()))

    async def uploaded(self, source: str, name: str, base: str, secret: str, event: gr.EventData) -> str:
        """Start the import of what was uploaded."""
        sent = json.loads(parts.picked(event))
        fields = sent["artifact"]
        artifact = Artifact(uri=fields["uri"], digest=fields["digest"], size_bytes=int(fields["size_bytes"]))
        return await self._begin(NewImport(sent["name"], name.strip(), base.strip(), secret.strip(), artifact))

    async def cancel(self, event: gr.EventData) -> str:
        """Cancel the import whose button was clicked."""
        try:
            cancelled = await cancel_import(self._cache.clients, parts.picked(event))
        except ServiceError as error:
            return notice(error, "import")
        self._cache.forget()
        return done_notice(f"The import of {cancelled.model_id} is cancelled.", tone="warn")

    async def _begin(self, new: NewImport) -> str:
        try:
            begun = await start_import(self._cache.clients, new)
        except ServiceError as error:
            return notice(error, "import")
        self._cache.forget()
        return done_notice(f"The import of {begun.model_id} has begun.")
