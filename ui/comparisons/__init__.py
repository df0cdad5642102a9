"""Two evaluations, or two test runs, side by side."""
