"""Comparison: two evaluations of one suite version side by side, as progress or as two forms of one model."""
