"""The first page: what is at work, what waits for a person, what was reached, and what to do next."""
