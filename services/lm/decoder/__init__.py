"""A lean decoder for models of the Llama family: the same numbers as transformers computes, with fewer passes."""
