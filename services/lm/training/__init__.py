"""Training's computation: log-probabilities of trained tokens and their gradients, each shared prefix computed once."""
