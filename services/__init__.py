"""The five services and the three libraries that they share."""
