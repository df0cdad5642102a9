"""Where answers are generated, one file per backend."""
