"""Who is told of what happens to jobs, by webhook, by mail and in the browser."""
