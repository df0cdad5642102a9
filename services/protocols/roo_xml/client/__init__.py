"""The client's side of a turn: what it does with each call of an answer."""
