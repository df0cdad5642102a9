"""Where cases come from: words and wordings, scenarios drawn from them by a seed, and the rule that splits them."""

from services.protocols.material.catalogue import SINGLE_CALL, Catalogue, StockExhausted, UnknownCategory
from services.protocols.material.draw import Split, StockName

__all__ = ["SINGLE_CALL", "Catalogue", "Split", "StockExhausted", "StockName", "UnknownCategory"]
