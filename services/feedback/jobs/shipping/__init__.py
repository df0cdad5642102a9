"""The job that takes a form of a version through the gate and publishes it."""
