#!/bin/sh
# Package: peft 0.21.2 (PyPI) with torch 2.13.0 and transformers 5.23.0, LoraModel.add_weighted_adapter.
# Expected: an adapter joined from others is their weighted sum; from one adapter with weight 1 it is this adapter.
#   Combination type "cat" is exact, and so it is for plain LoRA.
# What happens: rank and lora_alpha of the new adapter are set to the joined rank, so that its scaling be 1, but
#   use_rslora is inherited, and the scaling is lora_alpha / sqrt(r). What is joined comes out sqrt(r) times too large:
#   twofold at rank 4, eightfold at rank 64, without a word. Known as huggingface/peft#3761, open.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 peft==0.21.2 numpy
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from peft import LoraConfig, get_peft_model


def growth(rank: int, use_rslora: bool) -> float:
    """Return how many times the copy by add_weighted_adapter is as large as the adapter."""
    torch.manual_seed(0)
    settings = LoraConfig(
        r=rank, lora_alpha=16, use_rslora=use_rslora, target_modules=["0"], init_lora_weights=False
    )
    model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(64, 64)), settings, "single")
    model.base_model.add_weighted_adapter(["single"], [1.0], "copy", combination_type="cat")
    layer = model.base_model.model[0]
    return round(float(layer.get_delta_weight("copy").norm() / layer.get_delta_weight("single").norm()), 3)


growths = [growth(4, False), growth(4, True), growth(64, True)]
print("plain LoRA, rslora of rank 4, rslora of rank 64:", *growths)
raise SystemExit(growths != [1.0, 2.0, 8.0])
PYTHON
