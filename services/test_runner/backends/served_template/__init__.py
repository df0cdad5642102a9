"""What a live endpoint makes of messages, found out by what its kind of server offers for that."""
