"""What the client does with an answer, and what it says to it."""
