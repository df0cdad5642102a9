"""Publishers: each brings a version to one kind of place."""
