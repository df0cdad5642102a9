"""Scenarios: situations, tasks and right steps from which both Roo protocols make their cases."""

from services.protocols.roo.scenarios.catalogue import CATEGORIES
from services.protocols.roo.scenarios.generation import StockExhausted, UnknownCategory, scenarios, split_of
from services.protocols.roo.scenarios.nouns import Call, Draft, Said, Scenario, Slip, Step
from services.protocols.roo.scenarios.stocks import StockName, load_stock

__all__ = [
    "CATEGORIES",
    "Call",
    "Draft",
    "Said",
    "Scenario",
    "Slip",
    "Step",
    "StockExhausted",
    "StockName",
    "UnknownCategory",
    "load_stock",
    "scenarios",
    "split_of",
]
