"""The weights that a job trains: how they begin, and how a checkpoint and a result hold them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from services.lm.adapters import ALL_LINEAR, LoraSettings, add_lora, load_adapter, save_adapter
from services.lm.loading import LoadedModel, load
from services.trainer.domain.plan import AttemptPlan

ADAPTER: Final = "adapter"


def load_trained(plan: AttemptPlan, *, dtype: str) -> LoadedModel:
    """Return the model whose trainable parameters are the checkpoint's, or those that the job begins with.

    Raises:
        LmError: The model or the adapter cannot be used, or the model has none of the target modules.
    """
    loaded = load(Path(plan.base_folder), dtype=dtype)
    folder = str(Path(plan.resume_from) / ADAPTER) if plan.resume_from else plan.adapter_folder
    if folder:
        return replace(loaded, model=load_adapter(loaded.model, Path(folder), is_trainable=True))
    lora = plan.spec.lora
    settings = LoraSettings(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=lora.target_modules or ALL_LINEAR,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
    )
    return replace(loaded, model=add_lora(loaded.model, settings, seed=plan.spec.seed))


def save_trained(folder: Path, loaded: LoadedModel, plan: AttemptPlan) -> None:
    """Write the trained weights into the checkpoint `folder`, as the result that they would be."""
    save_adapter(loaded.model, folder / ADAPTER, base=plan.base_folder)
