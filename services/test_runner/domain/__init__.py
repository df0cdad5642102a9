"""Test runs, transcripts and single generations: the nouns of this service and their rules."""

from services.test_runner.domain.comparison import Difference, RunComparison
from services.test_runner.domain.endpoint import Departure, Endpoint, ToolMode, TryOutcome
from services.test_runner.domain.generation import GenerationOrder, Sampling, TokenLogProb
from services.test_runner.domain.record import Artifact, Claim, Environment, Form, Hold, RunInputs, RunRecord
from services.test_runner.domain.test_run import KIND, SHARE_KIND, Item, TestRunPhase, TestRunSpec, answer_seed, items
from services.test_runner.domain.transcript import AnswerTurn, FinishReason, Message, ToolCall, Transcript

__all__ = [
    "KIND",
    "SHARE_KIND",
    "AnswerTurn",
    "Artifact",
    "Claim",
    "Departure",
    "Difference",
    "Endpoint",
    "Environment",
    "FinishReason",
    "Form",
    "GenerationOrder",
    "Hold",
    "Item",
    "Message",
    "RunComparison",
    "RunInputs",
    "RunRecord",
    "Sampling",
    "TestRunPhase",
    "TestRunSpec",
    "TokenLogProb",
    "ToolCall",
    "ToolMode",
    "Transcript",
    "TryOutcome",
    "answer_seed",
    "items",
]
