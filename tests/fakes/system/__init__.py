"""All of Drillyard in one process: the real services over real RPCs, without a model and without training."""
