"""The registry service: models, datasets and test suites with their versions, digests and lineage."""
