"""Shipments: a version is exported, proven and published."""
