"""A model with the weights that a job trains, whichever they are."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.chassis.machine.files import written_whole
from services.lm.adapters import LoraSettings, add_lora, load_adapter, read_settings, snapshot_adapter
from services.lm.conversion.saving import companion_files, snapshot_model
from services.lm.errors import AdapterMismatch
from services.lm.folders.json_files import read_json
from services.lm.loading import LoadedModel, load
from services.lm.prefix import recomputing_contexts
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.weights import LoraConfig, LoraInit, TrainedWeights, named_numbers
from services.trainer.manifest import ADAPTER, MODEL
from services.trainer.training.preflight.continued import SETTINGS, WEIGHTS, other_settings, raised_rank
from services.trainer.training.weights.scratch import write_scratch_model
from services.trainer.training.workers import Workers

_STARTS: Final[Mapping[LoraInit, bool | str]] = {LoraInit.KAIMING: True}


@dataclass(frozen=True)
class TrainedModel:
    """What is trained.

    Attributes:
        loaded: Its `model` has the trainable parameters, and the text side beside it.
        base: What an adapter says it belongs to.
        companions: The files that a whole model is saved with; none for an adapter.
    """

    loaded: LoadedModel
    base: str
    companions: Mapping[str, bytes]

    def snapshot(self) -> Callable[[Path], None]:
        """Copy the trained weights, and return what writes the copy into a checkpoint's folder, as a result would be.

        An adapter lies in `adapter/`, a whole model in float32 in `model/`.
        """
        model: Any = self.loaded.model
        if self.companions:
            write, name = snapshot_model(model, self.companions), MODEL
        else:
            write, name = snapshot_adapter(model, base=self.base), ADAPTER
        return lambda folder: write(folder / name)


def load_trained(plan: AttemptPlan, rows: Sequence[DatasetRow], workers: Workers, *, dtype: str) -> TrainedModel:
    """Return the model with the weights of the checkpoint, or those that the job begins with.

    Weights that are trained are held in float32, whatever they are computed in; a frozen base is held in `dtype`.

    Raises:
        LmError: The model or the adapter cannot be used, or the model has none of the modules that the spec names.
    """
    if plan.spec.trained_weights is TrainedWeights.LORA:
        trained = TrainedModel(_with_adapter(plan, workers, dtype), plan.base_folder, {})
    else:
        trained = _whole(plan, rows, workers)
    if plan.spec.gradient_checkpointing:
        trained.loaded.model.activation_checkpointing_enable(
            {"use_reentrant": False, "context_fn": recomputing_contexts}
        )
    return trained


def _with_adapter(plan: AttemptPlan, workers: Workers, dtype: str) -> LoadedModel:
    spec = plan.spec
    folder = Path(plan.resume_from) / ADAPTER if plan.resume_from else Path(plan.adapter_folder)
    is_new = not (plan.resume_from or plan.adapter_folder)
    modules_to_save = spec.lora.modules_to_save if is_new else read_settings(folder).modules_to_save
    held = "float32" if modules_to_save else dtype
    if plan.adapter_folder and not plan.resume_from and (reason := other_settings(spec, folder)):
        raise AdapterMismatch(*reason)
    if spec.load_in_4bit:
        loaded = load(Path(plan.base_folder), dtype=held, device=workers.device.type, in_4bit=True)
    else:
        loaded = _placed(load(Path(plan.base_folder), dtype=held), workers.device)
    if is_new:
        return replace(loaded, model=add_lora(loaded.model, lora_settings(spec.lora), seed=spec.seed))
    with tempfile.TemporaryDirectory() as place:
        if not plan.resume_from and (rank := raised_rank(spec, folder)):
            write_widened(folder, Path(place), rank=rank, seed=spec.seed)
            folder = Path(place)
        return replace(loaded, model=load_adapter(loaded.model, folder, is_trainable=True))


def _whole(plan: AttemptPlan, rows: Sequence[DatasetRow], workers: Workers) -> TrainedModel:
    if plan.resume_from:
        return _opened(Path(plan.resume_from) / MODEL, None, workers)
    if plan.spec.trained_weights is TrainedWeights.FULL:
        return _opened(Path(plan.base_folder), Path(plan.adapter_folder) if plan.adapter_folder else None, workers)
    with tempfile.TemporaryDirectory() as folder:
        write_scratch_model(Path(folder) / MODEL, Path(plan.base_folder), plan.spec, rows)
        return _opened(Path(folder) / MODEL, None, workers)


def _opened(folder: Path, adapter: Path | None, workers: Workers) -> TrainedModel:
    loaded = _placed(load(folder, dtype="float32", adapter=adapter), workers.device)
    loaded.model.requires_grad_(True)
    return TrainedModel(loaded, "", companion_files(folder))


def _placed(loaded: LoadedModel, device: torch.device) -> LoadedModel:
    return replace(loaded, model=loaded.model.to(device), device=device.type)


def lora_settings(lora: LoraConfig) -> LoraSettings:
    """Return the settings of a new adapter, by PEFT's names."""
    return LoraSettings(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=lora.target_modules,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        init_lora_weights=_STARTS.get(lora.init_lora_weights, str(lora.init_lora_weights)),
        modules_to_save=lora.modules_to_save,
        rank_pattern=named_numbers(lora.rank_pattern, "lora.rank_pattern"),
        alpha_pattern=named_numbers(lora.alpha_pattern, "lora.alpha_pattern"),
    )


def write_widened(folder: Path, out: Path, *, rank: int, seed: int) -> None:
    """Write the adapter in `folder` to `out` with a rank that is a multiple of its own.

    The matrices A get new rows, drawn as those of a new adapter are, and B columns of 0, so that what it adds to the
    model stays what it was until it is trained; alpha grows with the rank.
    """
    config = read_json(folder / SETTINGS)
    generator = torch.Generator().manual_seed(seed)
    num_added = rank - config["r"]
    tensors = {
        name: _widened(name, tensor, num_added, generator)
        for name, tensor in sorted(load_file(folder / WEIGHTS).items())
    }
    save_file(tensors, out / WEIGHTS)
    alpha = config["lora_alpha"] * rank // config["r"]
    with written_whole(out / SETTINGS) as file:
        file.write(json.dumps({**config, "r": rank, "lora_alpha": alpha}).encode())


def _widened(name: str, tensor: Tensor, num_added: int, generator: torch.Generator) -> Tensor:
    if ".lora_A." in name:
        rows = torch.empty(num_added, tensor.shape[1], dtype=torch.float32)
        torch.nn.init.kaiming_uniform_(rows, a=math.sqrt(5), generator=generator)
        return torch.cat([tensor, rows.to(tensor.dtype)]).contiguous()
    if ".lora_B." in name:
        return torch.cat([tensor, tensor.new_zeros(tensor.shape[0], num_added)], dim=1).contiguous()
    return tensor
