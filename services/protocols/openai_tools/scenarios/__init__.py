"""Scenarios: what a case of each category is made of, and how cases are drawn."""

from services.protocols.openai_tools.scenarios.generation import CATEGORIES, UnknownCategory, generate_cases

__all__ = ["CATEGORIES", "UnknownCategory", "generate_cases"]
