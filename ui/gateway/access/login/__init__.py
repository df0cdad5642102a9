"""How people log in: the page, and the provider that some installations have."""
