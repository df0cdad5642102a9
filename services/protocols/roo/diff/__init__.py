"""`apply_diff`: markers, blocks, application."""
