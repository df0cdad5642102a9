"""Ways to serve a version, each named by what serves it."""
