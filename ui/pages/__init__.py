"""The pages that a person opens in a browser: Models, Test, Train, Improve."""
