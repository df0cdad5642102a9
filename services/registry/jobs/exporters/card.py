"""The card of an exported version: what it is, what it was made from, and what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from services.chassis.machine.files import write_atomically
from services.lm.conversion.card import CardFacts, card
from services.registry.domain.export import ExportSource
from services.registry.domain.model import ModelVersion, ModelVersionKind

CARD: Final = "README.md"
_HUB: Final = "hf://"
_SETTINGS: Final = ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora")


def write_card(source: ExportSource, out: Path, *, profile_digest: str = "", notes: tuple[str, ...] = ()) -> None:
    """Write the card beside the weights in the folder `out`."""
    spec = source.spec
    facts = CardFacts(
        name=spec.model_id,
        form=spec.form.value,
        base=_name_of(source.whole),
        base_digest=source.whole.artifact.digest.removeprefix("sha256:"),
        licence=source.whole.facts.licence,
        number_type=spec.number_type,
        adapter=_adapter_settings(source),
        profile=spec.profile_id,
        profile_digest=profile_digest,
        num_ctx=spec.num_ctx,
        text=spec.card,
        notes=notes,
    )
    write_atomically(out / CARD, card(facts))


def _name_of(version: ModelVersion) -> str:
    """Return the name by which people know a base: that of its repository on a hub, else that of the model here."""
    uri = version.source.uri if version.source else ""
    return uri.removeprefix(_HUB).partition("@")[0] if uri.startswith(_HUB) else version.model_id


def _adapter_settings(source: ExportSource) -> dict[str, Any]:
    if source.version.kind is not ModelVersionKind.ADAPTER:
        return {}
    config = json.loads((source.folder / "adapter_config.json").read_bytes())
    return {name: config[name] for name in _SETTINGS if config.get(name)}
