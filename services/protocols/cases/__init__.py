"""What a case is, and its one document form."""

from services.protocols.cases.case import Case, Choice, Expected, FreeText, Goal
from services.protocols.cases.fields import CaseError
from services.protocols.cases.from_document import answer_from_document, case_from_document
from services.protocols.cases.scoring import Scoring
from services.protocols.cases.to_document import Document, answer_to_document, case_to_document
from services.protocols.turn import Effect, EffectKind, McpServer

__all__ = [
    "Case",
    "CaseError",
    "Choice",
    "Document",
    "Effect",
    "EffectKind",
    "Expected",
    "FreeText",
    "Goal",
    "McpServer",
    "Scoring",
    "answer_from_document",
    "answer_to_document",
    "case_from_document",
    "case_to_document",
]
