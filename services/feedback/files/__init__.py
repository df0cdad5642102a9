"""Files of feedback items, one adapter per form."""
