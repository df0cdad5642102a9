"""Tools of the client that steer the task."""
