"""One file per command of `drillyard`."""
