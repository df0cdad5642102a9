"""The loss of answers that nothing is trained on."""

from __future__ import annotations

from collections.abc import Sequence

from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.encoding import encode
from services.trainer.training.methods.context import Context

MAX_ROWS = 256


class ValidationLoss:
    """The cross-entropy of the answers of at most 256 rows, each worker its part: the mean over their tokens."""

    def __init__(self, context: Context, rows: Sequence[DatasetRow]) -> None:
        """Encode the rows.

        Raises:
            BadExampleError: One is too long, or has nothing to measure; it is named.
        """
        self._workers = context.workers
        own = [rows[place] for place in context.share(range(min(len(rows), MAX_ROWS)))]
        loaded = context.loaded
        examples = encode(loaded.tokenizer, own, eos_ids=loaded.eos_ids, max_tokens=context.max_tokens)
        self._parts = [(sequence, each.row.weight) for each in examples for sequence in each.sequences]
        self._computation = context.computation(max((each.num_tokens for each in examples), default=0))

    def measure(self) -> dict[str, float]:
        """Return it as "validation_loss"."""
        scores = self._computation.log_probs([sequence for sequence, _ in self._parts])
        pairs = [(values, weight) for values, (_, weight) in zip(scores, self._parts, strict=True)]
        total, count = self._workers.add_up(
            sum(-weight * float(values.sum()) for values, weight in pairs),
            sum(weight * len(values) for values, weight in pairs),
        )
        return {"validation_loss": total / count}
