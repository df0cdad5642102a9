"""Asks a limited process what a model's files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.chassis.errors import InvalidArgument
from services.registry.domain.model import ModelFacts, ModelVersionKind
from services.registry.importers.limited_process import Limits, run_limited

# The computing is limited; the time on the clock is wide, for a machine that others share.
CHECK_LIMITS = Limits(memory_bytes=256 * 1024**2, cpu_seconds=2, file_bytes=0, wall_seconds=300.0)
_MAX_TEXT = 400
_MODULE = "services.registry.importers.folder_inspection"
_TOKENIZER_MODULE = "services.lm.folders.tokenizer_check"
_FOLDERS = {
    kind: kind.value
    for kind in (
        ModelVersionKind.ADAPTER,
        ModelVersionKind.GGUF,
        ModelVersionKind.GGUF_ADAPTER,
        ModelVersionKind.OLLAMA,
    )
}
# Vocabularies of 250,000 tokens are read three times, in about five seconds.
# Libraries try by a few bytes where temporary files may lie.
_TOKENIZER_LIMITS = Limits(memory_bytes=4 * 1024**3, cpu_seconds=60, file_bytes=4096, wall_seconds=300.0)


async def ask(
    module: str,
    arguments: Sequence[str],
    limits: Limits = CHECK_LIMITS,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the last JSON line that the module prints; `environment` is added to what every such process has.

    Raises:
        InvalidArgument: It refused; with its problem and next step.
        ResourceExhausted: It needed more than it may.
    """
    answer: dict[str, Any] = {}

    async def keep(line: dict[str, Any]) -> None:
        answer.clear()
        answer.update(line)

    await run_limited(module, arguments, limits, keep, environment)
    check(answer)
    return answer


def check(line: dict[str, Any]) -> None:
    """Raise InvalidArgument when the line tells of a refusal."""
    if "problem" in line:
        problem, place = plain(line["problem"]), plain(line.get("place") or "")
        raise InvalidArgument(f"{place}: {problem}" if place else problem, plain(line.get("next_step", "")))


def plain(text: object) -> str:
    """Return what a file says as it may stand in an error: printable and short."""
    # A hostile file chooses the names of its tensors and keys.
    return "".join(letter if letter.isprintable() else "�" for letter in str(text)[:_MAX_TEXT])


async def ask_folder(kind: str, folder: Path) -> dict[str, Any]:
    """Return what a folder says; `kind` is one of `folder_inspection`.

    Raises:
        InvalidArgument: It isn't a folder of that kind, or isn't safe to load.
    """
    return await ask(_MODULE, (kind, str(folder)))


async def ask_tokenizer(folder: Path) -> tuple[str, ...]:
    """Return what a person should know of the folder's tokenizer; nothing for a folder that brings none.

    Raises:
        InvalidArgument: It can't be loaded, or it would give other ids than its file says.
        ResourceExhausted: Its check needed more than it may.
    """
    if not (folder / "tokenizer.json").exists():
        return ("The folder holds no tokenizer.json, without which nothing can be asked or trained.",)
    answer = await ask(_TOKENIZER_MODULE, (str(folder),), _TOKENIZER_LIMITS)
    return tuple(plain(note) for note in answer["notes"])


class FolderFacts:
    """Reads what the registry's own model folders say about themselves."""

    async def facts_of(self, folder: Path, kind: ModelVersionKind) -> ModelFacts:
        """Check a folder of that kind and return what it says; an adapter leaves to its base what is not its own."""
        answer = await ask_folder(_FOLDERS.get(kind, "full"), folder)
        return ModelFacts(str(answer["architecture"]), int(answer["num_parameters"]), int(answer["context_length"]))
