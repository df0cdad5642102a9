"""A server that has a version loaded: from which files, where it answers, and what it has room for."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.llama_server import LlamaServer
from services.lm.conversion.go_template import GoTemplateError, render_go_template
from services.test_runner.backends.model_pool import LoadedModel
from services.test_runner.domain.endpoint import Endpoint, ToolMode
from services.test_runner.domain.test_run import Artifact
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import Answer, Prompt, Workload

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


ALIAS = "model"
# A token is rarely shorter than two bytes; a conversation grows by answers and replies.
_BYTES_OF_TOKEN = 2
_LEAST_CONTEXT = 4096
MOST_CONTEXT = 32768


@dataclass
class LoadedServer(LoadedModel[LlamaServer]):
    """A server and what it has loaded."""

    base: Artifact
    adapter: Artifact | None
    ollama: OllamaForm

    @property
    def is_free(self) -> bool:
        """Whether it lives: it takes several questions at once."""
        return self.process.is_alive

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers."""
        return Endpoint(
            base_url=f"{self.process.root_url}/v1",
            model=ALIAS,
            api_key_secret="",
            tool_mode=ToolMode.UNSPECIFIED,
            num_ctx=0,
            stop=(),
            extra_body="",
            max_concurrency=self.process.options.num_slots,
        )

    def serves(self, workload: Workload) -> bool:
        """Whether it lives, has these weights loaded, and room for the prompts."""
        is_same = (self.base, self.adapter) == (workload.base, workload.adapter)
        num_tokens = min(num_context(workload), self.ollama.num_ctx or MOST_CONTEXT)
        return is_same and self.process.is_alive and self.process.options.num_context_tokens >= num_tokens


class OwnKeys:
    """The keys of servers that this process started, by their addresses."""

    trusted_hosts: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.of_servers: dict[str, str] = {}

    def check(self, endpoint: Endpoint) -> None:
        """Allow what was started here."""

    def key_of(self, endpoint: Endpoint) -> str:
        """Return the key of a server that runs."""
        return self.of_servers.get(endpoint.root_url, "")


def num_context(workload: Workload) -> int:
    """Return the tokens that each slot has to hold: a power of two, so that a server is rarely too small."""
    longest = max(_num_bytes(prompt) for prompt in workload.prompts) // _BYTES_OF_TOKEN
    needed = longest + 2 * workload.sampling.max_new_tokens
    context = _LEAST_CONTEXT
    while context < min(needed, MOST_CONTEXT):
        context *= 2
    return min(context, workload.num_context_tokens or context)


def _num_bytes(prompt: Prompt) -> int:
    chats = sum(len(message.content.encode("utf-8", "replace")) for message in prompt.messages)
    tools = len(json.dumps(prompt.tools, default=dict)) if prompt.tools else 0
    return chats + tools + len(prompt.text.encode("utf-8", "replace")) + _BYTES_OF_TOKEN * len(prompt.token_ids)
