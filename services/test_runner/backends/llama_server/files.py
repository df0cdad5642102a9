"""Which files of a version's folder a server loads, and what Ollama would add to them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.chassis.errors import FailedPrecondition
from services.lm.conversion.go_template import GoTemplateError, render_go_template
from services.test_runner.domain import FinishReason
from services.test_runner.ports import Answer, Prompt

_LAYER = "application/vnd.ollama.image."
_MAX_TEXT_BYTES = 4 << 20
_AGAIN = "Export or import it again."


@dataclass(frozen=True)
class OllamaForm:
    """What an Ollama store says of its one model: the prompt's template, and how answers end.

    An empty template leaves the prompt to the chat template of the GGUF.
    """

    template: str = ""
    system: str = ""
    stop: tuple[str, ...] = ()
    num_ctx: int = 0

    def rendered(self, prompt: Prompt) -> Prompt:
        """Return the prompt as the text that Ollama makes of it, and with its stops.

        Raises:
            GoTemplateError: The template refuses the messages.
        """
        if prompt.messages and self.template:
            chats = [message.to_chat() for message in prompt.messages]
            text = render_go_template(self.template, chats, prompt.tools, system=self.system)
            prompt = replace(prompt, messages=(), tools=(), text=text)
        return replace(prompt, stop=(*prompt.stop, *self.stop))

    def answerable(self, prompts: tuple[Prompt, ...]) -> tuple[tuple[Prompt, ...], list[Answer]]:
        """Return the prompts as texts, and an answer for each that the template refuses."""
        texts, refusals = [], []
        for prompt in prompts:
            try:
                texts.append(self.rendered(prompt))
            except GoTemplateError as error:
                detail = f"Ollama's template refuses these messages: {error}"
                refusals.append(Answer(prompt.key, "", FinishReason.TEMPLATE_FAULT, detail=detail))
        return tuple(texts), refusals


@dataclass(frozen=True)
class ServedFiles:
    """What a server loads."""

    model: Path
    adapter: Path | None = None
    ollama: OllamaForm | None = None


def served_files(folder: Path, adapter_folder: Path | None) -> ServedFiles:
    """Return the files of a GGUF version and of the GGUF adapter that is put on it, or of an Ollama store.

    Raises:
        FailedPrecondition: A folder has no GGUF file, or the store names what only Ollama itself can do.
    """
    if (folder / "manifests").is_dir():
        return _in_store(folder)
    return ServedFiles(_gguf_in(folder), _gguf_in(adapter_folder) if adapter_folder else None)


def _gguf_in(folder: Path) -> Path:
    # Of a file in parts the server is given the first.
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise FailedPrecondition("The version's folder has no GGUF file.", _AGAIN)
    return files[0]


def _in_store(folder: Path) -> ServedFiles:
    manifests = [path for path in (folder / "manifests").rglob("*") if path.is_file()]
    if len(manifests) != 1:
        raise FailedPrecondition(f"The version's store names {len(manifests)} models instead of one.", _AGAIN)
    manifest = json.loads(manifests[0].read_bytes())
    layers = {layer["mediaType"].removeprefix(_LAYER): _blob(folder, layer) for layer in manifest["layers"]}
    config = json.loads(_text(_blob(folder, manifest["config"])))
    if config.get("renderer"):
        raise FailedPrecondition(
            f"The version's prompts are made by Ollama's own renderer {config['renderer']}, which is not here.",
            "Test it at a running Ollama, as an endpoint.",
        )
    if "model" not in layers:
        raise FailedPrecondition("The version's store has no GGUF.", _AGAIN)
    parameters = json.loads(_text(layers.get("params")) or "{}")
    stop = parameters.get("stop") or ()
    form = OllamaForm(
        template=_text(layers.get("template")),
        system=_text(layers.get("system")),
        stop=tuple([stop] if isinstance(stop, str) else stop),
        num_ctx=int(parameters.get("num_ctx") or 0),
    )
    return ServedFiles(layers["model"], layers.get("adapter"), form)


def _blob(folder: Path, layer: dict[str, Any]) -> Path:
    return folder / "blobs" / str(layer["digest"]).replace(":", "-").replace("/", "-")


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    with path.open("rb") as file:
        return file.read(_MAX_TEXT_BYTES).decode("utf-8", "replace")
