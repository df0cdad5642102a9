"""Protocol profiles: what an agent demands of a model's answer, as one pure library."""
