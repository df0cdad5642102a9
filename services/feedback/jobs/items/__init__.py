"""Jobs on feedback items: files that are imported, and datasets that are built."""
