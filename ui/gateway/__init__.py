"""The process that answers HTTP: settings, channels, middleware, and all pages and routes together."""
