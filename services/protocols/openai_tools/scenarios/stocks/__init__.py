"""Words and wordings of scenarios, beside those of the built-in suite and the pool."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from services.protocols.openai_tools.authoring import draw
from services.protocols.openai_tools.authoring.draw import Stock
from services.protocols.profile import StockName


@cache
def load_stock(name: StockName) -> Stock:
    """Return a stock with all its words, and the wordings by tool or category."""
    document = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    first = draw.load_stock(name)
    return Stock({**first.words, **document["words"]}, {**first.wordings, **document["wordings"]})
