"""One file per service that is called."""
