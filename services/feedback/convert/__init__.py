"""Wire to domain and back, one file per noun."""
