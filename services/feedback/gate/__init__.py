"""What a form of a version must pass before it is published."""
