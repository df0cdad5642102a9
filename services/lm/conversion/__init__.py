"""Turning model files into the folder form that everything else loads; `python -m services.lm.conversion`."""
