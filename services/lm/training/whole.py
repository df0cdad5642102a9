"""Log-probabilities of one sequence by itself, for models that cannot be computed behind shared prefixes."""

from inspect import signature
from typing import Any

import torch
from torch import Tensor

from services.lm.decoder.hooked import autocast, unwrapped
from services.lm.decoder.loss import log_probs_of_logits
from services.lm.decoder.whole import computed_whole
from services.lm.training.sequence import TrainedSequence


def forward_whole(model: Any, sequence: TrainedSequence, *, entropies: bool) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the trained tokens, shape (num_trained,), and the entropies, or none; differentiable."""
    ids = torch.tensor([sequence.ids], device=model.device)
    trained = torch.tensor(list(sequence.trained_places()), dtype=torch.long, device=model.device)
    selects = "logits_to_keep" in signature(unwrapped(model).forward).parameters
    with computed_whole(model), autocast(model):
        logits = model(input_ids=ids, use_cache=False, **({"logits_to_keep": trained - 1} if selects else {})).logits[0]
    return log_probs_of_logits(logits if selects else logits[trained - 1], ids[0, trained], entropies=entropies)
