"""What the registry does for its callers, one method per RPC."""
