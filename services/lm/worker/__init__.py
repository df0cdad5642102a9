"""A generation worker: one model, JSON lines on standard input and output (see `worker_protocol`).

It ends as soon as its standard input does, at any moment, so that a killed parent leaves no orphan. Whatever a library
prints goes to standard error.
"""
