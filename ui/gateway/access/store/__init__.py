"""Accounts in SQLite or PostgreSQL; loaded only by a gateway that asks for a login."""
