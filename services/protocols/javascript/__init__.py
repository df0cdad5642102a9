"""Rules of the client's language where they differ from Python's: texts, and regular expressions in `patterns`."""
