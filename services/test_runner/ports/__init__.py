"""What the test runner needs from outside."""
