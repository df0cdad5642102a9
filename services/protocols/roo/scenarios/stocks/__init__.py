"""Words and wordings of the two sides."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from services.protocols.roo_xml.authoring.draw import Stock
from services.protocols.roo_xml.authoring.draw import load_stock as load_words

StockName = Literal["suite", "pool"]


@cache
def load_stock(name: StockName) -> Stock:
    """Return the stock of one side: the words and pieces of code of the one-call cases, and what scenarios add."""
    document = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    shared = load_words(name)
    return Stock(
        MappingProxyType({**shared.words, **document["words"]}),
        MappingProxyType(document["wordings"]),
        shared.pieces,
    )
