"""View models: what a page, the command line or a report shows, free of wire types."""
