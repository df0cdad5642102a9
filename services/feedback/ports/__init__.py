"""What feedback needs from outside."""

from services.feedback.ports.loops import (
    Artifacts,
    Evaluator,
    LoopAnswers,
    LoopStore,
    Measures,
    Registry,
    TestRunner,
    Trainer,
    Work,
)
from services.feedback.ports.shipments import Deployments, Exports, Forms, Publications, ShipmentStore, Verdicts

__all__ = [
    "Artifacts",
    "Deployments",
    "Evaluator",
    "Exports",
    "Forms",
    "LoopAnswers",
    "LoopStore",
    "Measures",
    "Publications",
    "Registry",
    "ShipmentStore",
    "TestRunner",
    "Trainer",
    "Verdicts",
    "Work",
]
