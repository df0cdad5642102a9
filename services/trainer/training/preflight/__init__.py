"""Looks at every row of a dataset before anything is computed: with the tokenizer alone, without weights."""
