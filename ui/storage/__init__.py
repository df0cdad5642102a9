"""What nobody needs any more, over all services."""
