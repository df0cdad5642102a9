"""A whole Drillyard in one process, with made-up rows: real gRPC, no model, no training."""
