"""The gateway (REST and web pages) and the `drillyard` command line."""
