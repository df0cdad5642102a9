"""Answers of the model in training to the rows' cases: drawn by our own engine, judged, and kept token by token."""
