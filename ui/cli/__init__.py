"""The `drillyard` command line; its commands talk to a running gateway by HTTP."""
