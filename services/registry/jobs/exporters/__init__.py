"""Writers of the forms in which versions are served elsewhere."""
