"""Places from which models come; each leads to files on this machine, which the importers then read."""
