"""Sends files to a gateway in parts; a break of the line costs the part that was on its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from services.lm.conversion.parts import part_files
from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import Display, Progress
from ui.shared.words import size_text

_PART_BYTES = 8 << 20
_NUM_TRIES = 8
_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 10.0
_TEMPLATES = "additional_chat_templates"


def send_model(gateway: Gateway, path: Path, on: Display) -> Document:
    """Upload a GGUF file with its parts, or the files of a folder, and return the artifact that they become.

    Raises:
        GatewayError: There is no such file, or the gateway refuses it or stays away.
    """
    return send_files(gateway, _files_at(path), on)


def send_files(gateway: Gateway, files: dict[str, Path], on: Display, *, as_file: bool = False) -> Document:
    """Upload files by their names, and return the artifact that they become.

    Raises:
        GatewayError: The gateway refuses them or stays away.
    """
    total = sum(file.stat().st_size for file in files.values())
    announced = [{"name": name, "size_bytes": file.stat().st_size} for name, file in files.items()]
    upload_id = gateway.post("/uploads", {"files": announced})["upload"]["upload_id"]
    done = 0
    for name, file in files.items():
        before = done

        def tell(num_bytes: int, before: int = before) -> None:
            text = f"{size_text(before + num_bytes)} of {size_text(total)}"
            on.show("Upload", Progress(text, (before + num_bytes) / max(total, 1), False))

        _send(gateway, f"/uploads/{upload_id}", name, file, tell)
        done += file.stat().st_size
    artifact: Document = gateway.post(f"/uploads/{upload_id}/finish", as_file=str(as_file).lower())["artifact"]
    return artifact


def _files_at(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {part.name: part for part in part_files(path) if part.is_file()}
    if not path.is_dir():
        raise GatewayError("INVALID_ARGUMENT", f"There is nothing at {path}.", "Name a GGUF file or a model's folder.")
    files = [*path.iterdir(), *(path / _TEMPLATES).glob("*.jinja")]
    return {file.relative_to(path).as_posix(): file for file in sorted(files) if file.is_file()}


def _send(gateway: Gateway, upload: str, name: str, file: Path, tell: Callable[[int], None]) -> None:
    num_failures = num_sent = 0
    with file.open("rb") as stream:
        while part := _part_at(stream, num_sent):
            try:
                num_sent = int(gateway.send(f"{upload}/files/{name}", part, offset=num_sent)["received_bytes"])
                num_failures = 0
            except GatewayError as error:
                num_failures += 1
                # Bytes that came without an answer stand where the next ones were due.
                if not (error.may_pass or error.code == "FAILED_PRECONDITION") or num_failures >= _NUM_TRIES:
                    raise
                time.sleep(min(_FIRST_PAUSE_SECONDS * 2**num_failures, _LAST_PAUSE_SECONDS))
                num_sent = _received(gateway, upload, name, num_sent)
            tell(num_sent)


def _part_at(stream: BinaryIO, place: int) -> bytes:
    stream.seek(place)
    return stream.read(_PART_BYTES)


def _received(gateway: Gateway, upload: str, name: str, otherwise: int) -> int:
    """Return how much of a file has come; `otherwise` while the gateway does not tell."""
    try:
        files = gateway.get(upload)["upload"]["files"]
    except GatewayError as error:
        if not error.may_pass:
            raise
        return otherwise
    return next(int(file["received_bytes"]) for file in files if file["name"] == name)
