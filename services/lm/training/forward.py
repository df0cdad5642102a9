"""Log-probabilities of trained tokens: by the lean decoder where it serves the model, else by transformers' layers."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor

from services.lm.decoder.loss import log_probs_of_logits
from services.lm.decoder.model import lean
from services.lm.decoder.whole import computed_whole
from services.lm.prefix import attending, attending_to
from services.lm.training.packs import Pack
from services.lm.training.sequence import TrainedSequence


def forward(model: Any, pack: Pack, *, entropies: bool) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the pack's labels, shape (trained,), and the entropies (empty unless asked for)."""
    decoder = lean(model)
    if decoder is not None:
        targets = pack.predicting, pack.labels
        return decoder.log_probs(pack.input_ids, pack.position_ids, pack.layout, targets, entropies=entropies)
    device = model.device
    with attending(attending_to(pack.layout), fits_window=True), _autocast(model):
        logits = model(
            input_ids=pack.input_ids.to(device),
            position_ids=pack.position_ids.to(device),
            use_cache=False,
            logits_to_keep=pack.predicting.to(device),
        ).logits
    return log_probs_of_logits(logits[0], pack.labels.to(device), entropies=entropies)


def forward_whole(model: Any, sequence: TrainedSequence, *, entropies: bool) -> tuple[Tensor, Tensor]:
    """As `forward`, of one sequence by itself, for a model that `why_whole` has a reason against sharing for."""
    ids = torch.tensor([sequence.ids], device=model.device)
    labels = torch.tensor(list(sequence.trained_places()), dtype=torch.long, device=model.device)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    selects = "logits_to_keep" in signature(inner.forward).parameters
    with computed_whole(model), _autocast(model):
        logits = model(input_ids=ids, use_cache=False, **({"logits_to_keep": labels - 1} if selects else {})).logits[0]
    return log_probs_of_logits(logits if selects else logits[labels - 1], ids[0, labels], entropies=entropies)


def _autocast(model: Any) -> torch.autocast:
    reduced = next(model.parameters()).dtype == torch.bfloat16
    return torch.autocast(model.device.type, torch.bfloat16, enabled=reduced)
