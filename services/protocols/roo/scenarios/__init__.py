"""Scenarios: situations, tasks and right steps from which both Roo protocols make their cases."""
