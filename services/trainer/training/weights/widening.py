"""An adapter of more rank that computes the same, so that further training has more to learn with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.chassis.machine.files import written_whole
from services.lm.folders.json_files import read_json
from services.trainer.training.preflight.continued import SETTINGS, WEIGHTS


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
