"""From a function call as written to a typed one."""
