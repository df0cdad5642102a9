"""The page Test: run a model on a suite, watch it, and read why each answer failed."""
