"""The registry's own tables, in SQLite or PostgreSQL."""
