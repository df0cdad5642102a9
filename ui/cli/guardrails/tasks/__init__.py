"""A small offline task: two dozen questions that every useful model can answer."""

from pathlib import Path

FOLDER = Path(__file__).parent
GROUP = "drillyard_general"
OWN_TASKS = frozenset({GROUP, "drillyard_general_choice", "drillyard_general_answer"})
