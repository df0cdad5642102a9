"""What edits other than `apply_diff` do to a text: patches, and replacements of a string."""
