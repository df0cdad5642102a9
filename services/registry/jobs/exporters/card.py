"""The card of an exported version: what it is, what it was made from, and what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from services.chassis.machine.files import write_atomically
from services.registry.domain.export import ExportForm, ExportSource

CARD: Final = "README.md"
_LIBRARIES: Final = {
    ExportForm.ADAPTER: "peft",
    ExportForm.MERGED: "transformers",
    ExportForm.GGUF: "gguf",
    ExportForm.GGUF_ADAPTER: "gguf",
}
_SENTENCES: Final = {
    ExportForm.ADAPTER: "A LoRA adapter in PEFT's form, to be loaded on its base.",
    ExportForm.MERGED: "Full weights in Hugging Face form.",
    ExportForm.GGUF: "Full weights as one GGUF file, for llama.cpp and what is built on it.",
    ExportForm.GGUF_ADAPTER: "A LoRA adapter as GGUF file, to be loaded on the GGUF form of its base.",
}


def write_card(source: ExportSource, out: Path) -> None:
    """Write the card beside the weights in the folder `out`."""
    write_atomically(out / CARD, _text(source))


def _text(source: ExportSource) -> str:
    spec, version = source.spec, source.version
    head = {"library_name": _LIBRARIES[spec.form], "base_model": source.whole.model_id, "tags": ["drillyard"]}
    facts = {
        "made from": f"{version.version_id} ({version.artifact.digest})",
        "weights": f"{source.whole.version_id} ({source.whole.artifact.digest})",
        "weights came from": source.whole.source.uri.rpartition("/")[2] if source.whole.source else "",
        "architecture": source.whole.facts.architecture,
        "number type": spec.number_type,
        "protocol": spec.profile_id,
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    paragraphs = [_SENTENCES[spec.form], "\n".join(lines), spec.card.strip()]
    # JSON is YAML too, and quotes whatever a name may hold.
    meta = "\n".join(f"{name}: {json.dumps(value)}" for name, value in head.items())
    return f"---\n{meta}\n---\n\n# {spec.model_id}\n\n" + "\n\n".join(filter(None, paragraphs)) + "\n"
