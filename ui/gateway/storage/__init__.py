"""What all services keep, and how much room it takes."""
