"""Where loops are kept."""
