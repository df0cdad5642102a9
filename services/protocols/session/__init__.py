"""The simulated client, and the verdict on what a model did in front of it."""

from services.protocols.session.client import Client
from services.protocols.session.judge import judge_after_history, judge_session
from services.protocols.session.memory import call_key, case_at, state_of
from services.protocols.session.session import Session, SessionOver, Stop, Transcript, Turn

__all__ = [
    "Client",
    "Session",
    "SessionOver",
    "Stop",
    "Transcript",
    "Turn",
    "call_key",
    "case_at",
    "judge_after_history",
    "judge_session",
    "state_of",
]
