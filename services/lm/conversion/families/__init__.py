"""One description per architecture, used in both directions; here is what a GGUF file is written from."""

from pathlib import Path

from services.lm.conversion.families.contents import GgufPlan, GgufTensor

__all__ = ["GgufPlan", "GgufTensor", "plan_gguf", "rename_lora"]

# The imports below stay out of the reading of headers, which runs within narrow limits of time and memory.


def plan_gguf(folder: Path) -> GgufPlan:
    """What a GGUF file of the model in `folder` (Hugging Face form, not quantised) consists of; no weights are read.

    Raises:
        InvalidModelFile: The folder is damaged, or GGUF cannot express what it computes; what and the other forms that
            can be had are named.
    """
    from services.lm.conversion.families.plan import plan_model

    return plan_model(folder)


def rename_lora(folder: Path, adapter: Path) -> GgufPlan:
    """The same for the LoRA in `adapter`, made for the model in `folder`; sources are names in the adapter's file.

    Raises:
        InvalidModelFile: Folder or adapter are damaged, or GGUF cannot express the adapter.
        AdapterMismatch: The adapter was made for another model.
    """
    from services.lm.conversion.families.lora import plan_adapter

    return plan_adapter(folder, adapter)
